"""What a run will do when it goes on: what is recorded and stays, what runs, and what of it because code changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from legato.declare.node import Project
from legato.kernel.decide import decide
from legato.kernel.family import WAITS
from legato.kernel.inputs import Resume, TakeOver
from legato.kernel.state import FRESH, HELD, SUCCEEDED, RunState
from legato.plan.build import handling_of
from legato.ports.store import Run, Store
from legato.runtime.replay import read_state
from legato.service.folding import Folder
from legato.service.former import has_code
from legato.service.workspace import Workspace

Action = Literal["run", "skip", "gone", "undo"]
_Case = tuple[str, Action, str]


class Part(Struct, frozen=True, kw_only=True):
    """Steps of one node that are treated alike; `gone` means that the project has no such node any more."""

    node: str
    action: Action
    reason: str
    partitions: str
    count: int


class Resumption(Struct, frozen=True, kw_only=True):
    """What a run will do when it goes on.

    `changed` are nodes whose code is another than when the run was accepted, `removed` those that the project has no more.
    `reused` counts the results that stay, `again` those that are made anew if the flow still asks for them, since code changed.
    `then` is the version that it worked with last, if that is another than the one that it goes on with; `kept` says whether
    that one's code is kept.
    """

    run: str
    request: str
    then: str
    kept: bool
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    reused: int
    again: int
    parts: tuple[Part, ...]


def plan_resumption(workspace: Workspace, store: Store, run: Run, *, failed_only: bool = False) -> Resumption:
    """What `resume` would do with a run, with the project as it is now. Nothing is changed."""
    state = read_state(store, run.id)
    state.later = {name: handling_of(node) for name, node in workspace.project.nodes.items()}
    for asked in (TakeOver(), Resume("", failed_only)):  # in memory, on a state that is then thrown away
        decide(state, asked, workspace.clock.now())
    return foresee(store, state, run, workspace.project, Folder(workspace.project, workspace.extents(store)))


def foresee(store: Store, state: RunState, run: Run, project: Project, folder: Folder) -> Resumption:
    """What a run will do, from its state after it was told to go on, and its record before."""
    changed, removed = changed_since(state, project)
    then = "" if run.project == project.fingerprint else run.project
    alike: dict[_Case, list[int]] = {}
    for index, case in _Walk(state, project, set(changed)).cases():
        alike.setdefault(case, []).append(index)
    return Resumption(
        run=run.id, request=run.request, then=then, kept=bool(then) and has_code(store, then), changed=changed, removed=removed,
        reused=sum(len(steps) for (_, action, _), steps in alike.items() if action == "skip"),
        again=sum(len(steps) for (_, _, reason), steps in alike.items() if reason in (_CHANGED, _FOLLOWS)),
        parts=tuple(
            Part(
                node=node, action=action, reason=reason, count=len(steps),
                partitions=folder.partitions(node, [state.plan.steps[index].partition for index in steps]),
            )
            for (node, action, reason), steps in alike.items()
        ),
    )  # fmt: skip


def changed_since(state: RunState, project: Project) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The nodes of a run whose code is another than when it was accepted, and those that the project has no more."""
    known = state.plan.handling
    asked = {step.node for step in state.plan.steps} - set(WAITS.values())
    changed = (name for name in sorted(asked & project.nodes.keys()) if known[name].code not in ("", project.nodes[name].code))
    return tuple(changed), tuple(sorted(asked - project.nodes.keys()))


_CHANGED, _FOLLOWS = "code changed", "reads what runs again"


class _Walk:
    """Goes through a run's steps: those of its plan, and below each flow that goes on, what it had called."""

    def __init__(self, state: RunState, project: Project, changed: set[str]) -> None:
        self._state, self._project, self._changed = state, project, changed
        self._again: set[int] = set()

    def cases(self) -> Iterator[tuple[int, _Case]]:
        """Each step with how it is treated; of a run that takes back what it did, what is left of that, the last first."""
        state = self._state
        if state.rolling:
            yield from ((index, (state.plan.steps[index].node, "undo", "not undone yet")) for index in reversed(state.undo_queue))
            return
        for index in range(state.planned):
            node = state.plan.steps[index].node
            runs = state.status[index] < FRESH
            if runs and node not in self._project.nodes:
                yield index, (node, "gone", "no longer in the project: it will fail")
            elif runs:
                yield index, (node, "run", self._why_it_runs(index))
                yield from self._below(index)
            elif index in state.taken:
                yield index, (node, "skip", str(state.plan.steps[index].reason))
            elif state.status[index] == SUCCEEDED:
                yield index, (node, "skip", "recorded" + (", by other code than that of now" if node in self._changed else ""))

    def _why_it_runs(self, index: int) -> str:
        state = self._state
        more = ", with changed code" if state.plan.steps[index].node in self._changed else ""
        if state.status[index] == HELD:
            return "still waits"
        begun = "goes on" if state.handling(index).flow else "is tried again"
        return (begun if state.attempts[index] or index in state.dormant else "left to do") + more

    def _below(self, flow: int) -> Iterator[tuple[int, _Case]]:
        for index in sorted(self._state.calls.of(flow).values()):
            action, reason = self._treat(index)
            if action == "run":
                self._again.add(index)
            yield index, (self._state.plan.steps[index].node, action, reason)
            if action == "run":
                yield from self._below(index)

    def _treat(self, index: int) -> tuple[Action, str]:
        """What becomes of a call, should its flow make it again."""
        state, step = self._state, self._state.plan.steps[index]
        if step.node not in self._project.nodes and step.node not in WAITS.values():
            return "gone", "no longer in the project"
        if index in state.taken:
            return "skip", str(step.reason)
        if state.status[index] < FRESH or index in state.dormant:
            return "run", self._why_it_runs(index)
        if state.has_old_code(index):
            return "run", _CHANGED
        if any(need in self._again for need in step.deps[::2]):
            return "run", _FOLLOWS
        return "skip", "recorded" if state.status[index] == SUCCEEDED else "recorded: it did not succeed"
