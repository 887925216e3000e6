"""What follows the end of an attempt: publish, close the gate, refuse a late word."""

from __future__ import annotations

from legato.kernel.commands import DiscardStaged
from legato.kernel.events import (
    AttemptBegun,
    AttemptsReturned,
    FactsNoted,
    StepDeclined,
    StepKeyed,
    StepsCancelled,
    StepSucceeded,
    StepUndone,
)
from legato.kernel.rules.failure import fail_attempt, stopped
from legato.kernel.turn import Turn
from legato.terms.attempt import Begun, Declined, Done, Lost, Noted, Output, Raised, Ref, Returned
from legato.terms.fact import Error


def take_done(turn: Turn, done: Done) -> None:
    """A finished attempt publishes, unless its token is stale or a blocking check failed."""
    attempt = turn.attempt(done.step, done.token)
    if attempt is None or attempt.stopping:
        refs = _staged(done)
        if refs and done.token not in turn.state.recorded:  # else it is heard twice, and what it staged is in use
            turn.ask(DiscardStaged(refs))
        if attempt is not None:
            fail_attempt(turn, done, stopped(attempt.stopping), seconds=done.seconds, log=done.log)
        return
    if attempt.mode == "undo":
        turn.emit(StepUndone(turn.now, done.step, done.token, done.log))
        return
    if attempt.mode == "key":
        turn.emit(StepKeyed(turn.now, done.step, done.token, (done.value or b"").decode(), done.seconds, done.log))
        return
    if done.outputs and (error := _gate(done.outputs)) is not None:
        fail_attempt(turn, done, error, seconds=done.seconds, log=done.log, outputs=done.outputs)
        return
    turn.emit(
        StepSucceeded(turn.now, done.step, done.token, done.seconds, done.value, done.kept, done.outputs, done.replaces, done.log)
    )


def take_raised(turn: Turn, raised: Raised) -> None:
    """A failed attempt is tried again, replaced or final, as its node says."""
    attempt = turn.attempt(raised.step, raised.token)
    if attempt is not None:
        error = stopped(attempt.stopping) if attempt.stopping else raised.error
        fail_attempt(turn, raised, error, seconds=raised.seconds, log=raised.log)


def take_lost(turn: Turn, lost: Lost) -> None:
    """A lost worker costs the platform's budget; one that was stopped on purpose ends as that purpose says."""
    attempt = turn.attempt(lost.step, lost.token)
    if attempt is None:
        return
    error = stopped(attempt.stopping) if attempt.stopping else Error("lost", lost.reason)
    fail_attempt(turn, lost, error, log=lost.log)


def take_declined(turn: Turn, declined: Declined) -> None:
    """A step whose condition says no is skipped. An undo has no condition: one that declines has not undone anything."""
    attempt = turn.attempt(declined.step, declined.token)
    if attempt is None:
        return
    if attempt.mode == "undo":
        fail_attempt(turn, declined, Error("undo", "the undo declined"), seconds=declined.seconds)
        return
    turn.emit(StepDeclined(turn.now, declined.step, declined.token))


def take_returned(turn: Turn, returned: Returned) -> None:
    """An attempt that never began is handed out again, at no cost; one that was being cancelled is cancelled."""
    if turn.attempt(returned.step, returned.token) is not None:
        give_back(turn, (returned.step,))


def give_back(turn: Turn, steps: tuple[int, ...]) -> None:
    """Let attempts of which nobody will hear be handed out again, but for those that were being cancelled."""
    cancelled = tuple(step for step in steps if turn.state.running[step].stopping == "cancel")
    turn.emit(AttemptsReturned(turn.now, steps))
    if cancelled:
        turn.emit(StepsCancelled(turn.now, cancelled))


def take_begun(turn: Turn, begun: Begun) -> None:
    """That an attempt reached user code is recorded only so that its output can be followed."""
    if turn.attempt(begun.step, begun.token) is not None:
        turn.emit(AttemptBegun(turn.now, begun.step, begun.token, begun.log))


def take_noted(turn: Turn, noted: Noted) -> None:
    """Facts are recorded while the attempt that tells them is under way, but for those whose keys are on record."""
    if turn.attempt(noted.step, noted.token) is None:
        return
    facts, keys, known = noted.facts, noted.keys, turn.state.noted.get(noted.step)
    if known is not None and not known.isdisjoint(keys):
        fresh = [place for place, key in enumerate(keys) if key not in known]
        facts, keys = tuple(facts[place] for place in fresh), tuple(keys[place] for place in fresh)
    if facts:
        turn.emit(FactsNoted(turn.now, noted.step, noted.token, facts, keys))


def _staged(done: Done) -> tuple[Ref, ...]:
    refs = tuple(output.ref for output in done.outputs)
    return (*refs, done.kept) if done.kept is not None else refs


def _gate(outputs: tuple[Output, ...]) -> Error | None:
    """The error of a closed gate: every blocking verdict that failed, in words."""
    closed = [(output.ref.asset, verdict) for output in outputs for verdict in output.verdicts if verdict.blocks]
    if not closed:
        return None
    words = "; ".join(f"{verdict.check} of {asset}: {verdict.message or 'failed'}" for asset, verdict in closed)
    return Error("gate", words)
