"""What holds in every state that the kernel can reach. Tests check it after every decision; replay checks it on demand."""

from __future__ import annotations

from legato.kernel.fold import RETRY_DUE
from legato.kernel.state import (
    BACKOFF,
    FAILED,
    FRESH,
    PARKED,
    READY,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    WAITING,
    RunState,
    Status,
)  # fmt: skip


def violations(state: RunState) -> list[str]:
    """Every broken rule in words; empty for a sound state."""
    return [*_counts(state), *_readiness(state), *_attempts(state), *_waits(state), *_ending(state), *_board(state)]


def _counts(state: RunState) -> list[str]:
    actual = [state.status.count(code) for code in Status]
    return [] if actual == state.counts else [f"counts {state.counts} but steps say {actual}"]


def _readiness(state: RunState) -> list[str]:
    """A step is past waiting only when all it waits for succeeded; a step that waits for nothing is not waiting."""
    found = []
    for index, step in enumerate(state.plan.steps):
        code = state.status[index]
        unmet = [
            dep for at in range(0, len(step.deps), 2) for dep in range(step.deps[at], step.deps[at + 1])
            if state.status[dep] not in (SUCCEEDED, FRESH)
        ]  # fmt: skip
        if code in (READY, RUNNING, BACKOFF) and unmet and not state.rolling:
            found.append(f"step {index} is {Status(code).name} but waits for {unmet}")
        if code == WAITING and step.run and not unmet:
            found.append(f"step {index} waits for nothing")
    return found


def _attempts(state: RunState) -> list[str]:
    found = []
    running = {index for index, code in enumerate(state.status) if code == RUNNING}
    forward = {index for index, attempt in state.running.items() if attempt.mode != "undo"}
    if running != forward:
        found.append(f"running steps {sorted(running)} but attempts {sorted(forward)}")
    tokens = [attempt.token for attempt in state.running.values()]
    if len(set(tokens)) != len(tokens) or any(token >= state.next_token for token in tokens):
        found.append(f"tokens {tokens} are not unique below {state.next_token}")
    queued = state.track.steps.keys() | state.track.flows.keys()
    ready = {state.step_in(key & 0xFFFFFFFF) for key in queued if (key >> 32) & 0xFFFFFF == state.number}
    parked = {call.args[0] for calls in state.board.parked.values() for call in calls if call.func.__self__ is state}  # type: ignore[attr-defined]
    lost = {index for index, code in enumerate(state.status) if code == READY} - ready - parked
    if lost and not (state.halted or state.paused or state.ended):
        found.append(f"steps {sorted(lost)} are ready, but nobody will start them")
    return found


def _waits(state: RunState) -> list[str]:
    """A step in back-off becomes due once: at the instant that it waits for."""
    dues = {(index, due) for due, index, kind in state.due if kind == RETRY_DUE}
    asleep = {index for index, code in enumerate(state.status) if code == BACKOFF}
    forgotten = {index for index in asleep if (index, state.backoff.get(index, -1)) not in dues}
    return [f"steps {sorted(forgotten)} wait for a retry that is never due"] if forgotten else []


def _ending(state: RunState) -> list[str]:
    if state.ended is None:
        return []
    if state.open or state.running:
        return [f"ended as {state.ended} with {state.open} steps open and {len(state.running)} attempts running"]
    if state.ended == "succeeded" and FAILED in state.status[: state.planned]:
        return ["succeeded with failed steps"]
    return [
        f"step {index} was skipped without a cause"
        for index, code in enumerate(state.status) if code == SKIPPED and index not in state.causes
    ]  # fmt: skip


def _board(state: RunState) -> list[str]:
    """Slots and claims are held by attempts under way, and by nothing else."""
    found = []
    held = {owner for owner in state.board.claims.values() if owner[0] == state.run_id}
    expected = {(state.run_id, index) for index in state.running if state.claims(index)}
    if held != expected:
        found.append(f"claims of {sorted(held)} but attempts of {sorted(expected)}")
    if any(used < 0 for used in state.board.used.values()):
        found.append(f"pool slots given back twice: {state.board.used}")
    for share, used in state.board.used.items():
        limit = state.board.limits.get(share[0])
        slots = None if limit is None else limit.slots
        if slots is not None and used > slots:
            found.append(f"pool {share} has {slots} slots and {used} attempts")
    idle = {index for index in state.seats if state.status[index] not in (READY, RUNNING, BACKOFF, PARKED)}
    if idle:
        found.append(f"steps {sorted(idle)} hold slots, but are no flows under way")
    return found
