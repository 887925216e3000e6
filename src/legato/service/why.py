"""Why an asset partition is as it is, and what to do about it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from legato.declare.node import Node
from legato.plan.records import Plan, Reason, Step
from legato.plan.stale import Needs
from legato.ports.store import Store, Trouble
from legato.service.caching import CacheUse, cache_use
from legato.service.changes import InputChange, Inputs
from legato.service.evidence import FailedCheck, Failure, failed_checks, investigate
from legato.service.folding import Folder
from legato.service.logbook import Logbook
from legato.service.planning import Planner
from legato.service.plans import plan_request
from legato.service.request import Request
from legato.service.shell import command
from legato.service.workspace import Workspace
from legato.terms.errors import NotFound
from legato.terms.instant import Instant, format_seconds
from legato.terms.key import show, split

State = Literal["fresh", "stale", "failed", "quarantined", "held up", "never made", "blocked", "observed", "kept nowhere"]
QUIET: tuple[State, ...] = ("fresh", "never made", "observed", "kept nowhere")
MOST_GROUPS = 20


class Seen(Struct, frozen=True, kw_only=True):
    """What readers see now; `rows` is -1 for values without rows, `warnings` are checks that failed and do not block."""

    version: str
    at: Instant
    run: str
    rows: int
    size_bytes: int
    warnings: tuple[FailedCheck, ...] = ()


class HeldUp(Struct, frozen=True):
    """What cannot be brought up to date before this is: how many steps, and which, in few words."""

    count: int
    names: str


class Advice(Struct, frozen=True):
    """A command, and what it is good for."""

    command: str
    purpose: str


class Why(Struct, frozen=True, kw_only=True):
    """One asset partition (or task, or source). `root` is the asset partition that decides, where it is another one."""

    name: str
    kind: str
    state: State
    reason: str
    seen: Seen | None = None
    failure: Failure | None = None
    changes: tuple[InputChange, ...] = ()
    root: str = ""
    holds_up: HeldUp | None = None
    cache: CacheUse | None = None
    next: tuple[Advice, ...] = ()


class Group(Struct, frozen=True, kw_only=True):
    """Partitions that are as they are for the same reason; `example` is one of them."""

    state: State
    reason: str
    partitions: str
    count: int
    example: str


class Overview(Struct, frozen=True, kw_only=True):
    """A partitioned asset as a whole: its partitions by state, and those that are neither fresh nor just never made."""

    name: str
    counts: dict[State, int]
    groups: tuple[Group, ...]
    more_groups: int
    next: tuple[Advice, ...]


def explain_asset(workspace: Workspace, store: Store | None, text: str) -> Why | Overview:
    """Why `ASSET` or `ASSET@PARTITION` is as it is; of a task or flow, how its newest run went."""
    asset, partition = workspace.key(text, store)
    case = _Case(workspace, store, text, asset)
    if partition or case.node.partitions is None:
        return case.explain(case.steps[0])
    return case.overview()


class _Case:
    """One question, with all that is known when it is asked.

    The plan is that of the asset with everything that it needs, so that it says of each partition what a plan of the whole
    project says.
    """

    def __init__(self, workspace: Workspace, store: Store | None, text: str, asset: str) -> None:
        self.workspace, self.store, self.asset = workspace, store, asset
        self.node: Node = workspace.node(asset)
        self.planner = Planner(workspace, store)
        self.plan: Plan = self._plan(text)
        wanted = workspace.key(text, store)[1]
        self.steps = [each for each in self.plan.steps if each.node == self.node.name and wanted in ("", each.partition)]
        self.troubles = {each.partition: each for each in store.troubles([asset])} if store is not None else {}
        self._books: dict[str, Logbook] = {}

    def _plan(self, text: str) -> Plan:
        if not self.node.called:
            return plan_request(self.planner, Request(f"+{text}"))
        return self.planner.look(text) if self.node.kind == "asset" else _alone(self.node)

    # -- the state --

    def state(self, step: Step) -> State:
        """How the step's partition is."""
        kind, trouble = step.reason.kind, self.troubles.get(step.partition)
        if self.node.kind == "source":
            return "observed" if kind == "observed" else "blocked"
        if trouble is not None and kind != "fresh":
            by_kind: dict[str, State] = {"gate": "quarantined", "upstream": "held up", "halted": "held up"}
            return by_kind.get(trouble.kind, "failed")
        if self.node.kind in ("task", "flow"):
            return "kept nowhere" if kind != "blocked" else "blocked"
        states: dict[str, State] = {"fresh": "fresh", "missing": "never made", "blocked": "blocked"}
        return states.get(kind, "stale")

    def reason(self, step: Step, state: State) -> str:
        """The state's reason in words."""
        trouble = self.troubles.get(step.partition)
        if trouble is not None and state in ("failed", "quarantined", "held up"):
            return trouble.message
        if state == "fresh":
            return _TAKEN if self.node.called else "its code, its contract and its inputs are those of the published version"
        if state == "never made":
            return f"no {'flow' if self.node.called else 'run'} has made it yet"
        if state == "kept nowhere" and self.node.cache is not None:
            limit = "" if self.node.cache.ttl_s is None else f" for {format_seconds(self.node.cache.ttl_s)}"
            return f"a {self.node.kind}'s value lives only in its run, and in the cache{limit} for the same code and inputs"
        if state == "kept nowhere":
            return f"a {self.node.kind}'s value lives only in its run"
        return str(step.reason)

    # -- the whole asset --

    def overview(self) -> Overview:
        """All partitions of the asset, those that are alike together."""
        counts: dict[State, int] = {}
        alike: dict[tuple[State, str], list[str]] = {}
        for step in self.steps:
            state = self.state(step)
            counts[state] = counts.get(state, 0) + 1
            if state not in QUIET:
                alike.setdefault((state, self.reason(step, state)), []).append(step.partition)
        folder = Folder(self.workspace.project, self.planner.extents)
        groups = [
            Group(
                state=state, reason=reason, partitions=folder.partitions(self.node.name, keys), count=len(keys),
                example=show(self.asset, keys[0]),
            )
            for (state, reason), keys in alike.items()
        ]  # fmt: skip
        groups.sort(key=lambda group: _SEVERITY.index(group.state))
        advice = [Advice(command("legato", "why", groups[0].example), "one of them in full")] if groups else []
        if any(state not in ("fresh", "observed", "kept nowhere") for state in counts) and not self.node.called:
            advice.append(Advice(command("legato", "run", f"+{self.asset}"), "make what is missing or stale"))
        return Overview(
            name=self.asset, counts=counts, groups=tuple(groups[:MOST_GROUPS]), more_groups=max(0, len(groups) - MOST_GROUPS),
            next=tuple(advice),
        )  # fmt: skip

    # -- one partition --

    def explain(self, step: Step) -> Why:
        """One partition in full."""
        state = self.state(step)
        trouble = self.troubles.get(step.partition) if state in ("failed", "quarantined", "held up", "fresh") else None
        name = show(self.asset, step.partition)
        root = self._root(step, state, trouble)
        failure = self._failure(trouble) if trouble is not None and trouble.kind not in ("upstream", "halted") else None
        return Why(
            name=name, kind=self.node.kind, state=state, reason=self.reason(step, state), root=root, failure=failure,
            seen=self._seen(step.partition), changes=self._inputs(step).changes() if state == "stale" else (),
            cache=cache_use(self.store, self.node.name) if self.store is not None and self.node.cache is not None else None,
            holds_up=None if state in ("fresh", "observed") else self._below(name),
            next=tuple(self._advise(name, state, root, failure)),
        )  # fmt: skip

    def _advise(self, name: str, state: State, root: str, failure: Failure | None) -> list[Advice]:
        above = self.workspace.node(split(root)[0]) if root and state == "blocked" else self.node
        if above.kind == "asset" and above.called and failure is None and state in ("blocked", "never made"):
            show_it = Advice(command("legato", "show", root or self.asset), "what a flow gives it, to make it")
            return [show_it, Advice(command("legato", "list", "kind:flow"), "the flows there are")]
        return _advise(name, state, root, failure, self.node)

    def _seen(self, partition: str) -> Seen | None:
        if self.store is None or self.node.kind != "asset":
            return None
        head = self.store.head(self.asset, partition)
        version = self.store.version(self.asset, partition, head.version) if head is not None else None
        if head is None or version is None:
            return None
        return Seen(
            version=head.version, at=head.at, run=version.run, rows=head.ref.rows, size_bytes=head.ref.size_bytes,
            warnings=failed_checks(version, self.workspace.file_of(version.ref)),
        )  # fmt: skip

    def _book(self, run: str) -> Logbook:
        assert self.store is not None  # there is a trouble, so something ran
        if run not in self._books:
            self._books[run] = Logbook(self.store, run)
            self._books[run].read(self.store)
        return self._books[run]

    def _failure(self, trouble: Trouble) -> Failure:
        assert self.store is not None
        return investigate(self.workspace, self.store, trouble, self._book(trouble.run))

    def _root(self, step: Step, state: State, trouble: Trouble | None) -> str:
        """What to look at next: the step that failed above a held-up one, or the input that a blocked one lacks."""
        if state == "blocked":
            return self._blocker(step)
        if trouble is None or trouble.kind != "upstream":
            return ""
        book = self._book(trouble.run)
        cause = book.causes.get(trouble.step, -1)
        return book.name(cause) if cause >= 0 else ""

    def _inputs(self, step: Step) -> Inputs:
        return Inputs(self.planner, self.plan, self.workspace.project.nodes[step.node], self.asset, step.partition)

    def _blocker(self, step: Step) -> str:
        """What is missing at the top: of an input that is blocked itself, what blocks that one."""
        missing = self._inputs(step).first_missing()
        if missing is None:
            return ""
        node, asset, key = missing
        above = next((each for each in self.plan.steps if each.node == node and each.partition == key), None)
        blocked = above is not None and above.reason.kind == "blocked" and self.workspace.project.nodes[node].kind != "source"
        return (self._blocker(above) if above is not None and blocked else "") or show(asset, key)

    def _below(self, name: str) -> HeldUp | None:
        """Everything that needs this, directly or not."""
        try:
            below = self.planner.select(f"{name}+ and not {name}")
        except NotFound:
            return None
        needs = Needs(self.workspace.graph, self.planner.extents)
        steps = [(node, key) for node, region in below.items() for key in needs.keys(node, region)]
        return HeldUp(len(steps), Folder(self.workspace.project, self.planner.extents).names(steps))


_TAKEN = "a flow published it, and plans take it as it is"
_SEVERITY: tuple[State, ...] = (
    "failed", "quarantined", "blocked", "held up", "stale", "never made", "observed", "kept nowhere", "fresh"
)  # fmt: skip


def _alone(node: Node) -> Plan:
    """What stands for a plan of a node that runs when it is called."""
    return Plan(request=node.name, project="", steps=[Step(node.name, "", True, Reason("requested"))], handling={})


def _advise(name: str, state: State, root: str, failure: Failure | None, node: Node) -> list[Advice]:
    """What to do, most useful first."""
    again = Advice(command("legato", "run", f"+{name}+"), "once that is mended: make it, and what waits for it")
    if failure is not None and node.called:
        again = Advice(command("legato", "resume", failure.run), "once that is mended: try again what did not succeed")
    if failure is not None and state != "fresh":
        logs = Advice(command("legato", "logs", failure.run, name), "what it printed")
        return [
            logs,
            *([Advice(command("legato", "versions", name), "what was published before")] if failure.version else []),
            again,
        ]
    if state in ("held up", "blocked"):
        if not root:
            return [again]
        return [
            Advice(command("legato", "why", root), "what it waits for"),
            Advice(command("legato", "run", f"+{root}+"), again.purpose),
        ]
    if state in ("stale", "never made"):
        plan = Advice(command("legato", "plan", f"+{name}"), "what would run")
        return [plan, Advice(command("legato", "run", f"+{name}"), "make it, with what it needs")]
    if node.called and node.kind != "asset":
        return [Advice(command("legato", "show", name), "its parameters")]
    if node.kind == "task":
        return [Advice(command("legato", "run", name), "run it")]
    return [Advice(command("legato", "versions", name), "its history")] if node.kind == "asset" else []
