"""What people and other programs answer to what flows wait for; a signal may come before anybody waits for it."""

from __future__ import annotations

from collections.abc import Iterable

from legato.kernel.events import SignalCame, WaitEnd, WaitEnded
from legato.kernel.family import dues_of_waits
from legato.kernel.inputs import Resolve, Signal
from legato.kernel.state import HELD
from legato.kernel.turn import Turn
from legato.terms.codec import pack

_NO = pack(False)


def take_resolved(turn: Turn, resolve: Resolve) -> None:
    """An answer ends what waits for it, once: later ones find nothing that waits. One that was given too late is none, whenever
    it is heard; one that was given in time counts, even if it is heard later."""
    state = turn.state
    if not 0 <= resolve.step < len(state.status) or state.status[resolve.step] != HELD:
        return
    wait = state.calls.wait(resolve.step)
    due = dues_of_waits(state).get(resolve.step)
    if wait is None or wait.kind == "sleep" or (due is not None and resolve.at >= due):
        return
    end: WaitEnd = "refused" if wait.kind == "approval" and resolve.value == _NO else "granted"
    turn.emit(WaitEnded(turn.now, resolve.step, end, resolve.value, resolve.actor, resolve.reason))


def take_signal(turn: Turn, signal: Signal) -> None:
    """A signal ends everything in the run that waits for it; if nothing does, it is kept for the first that will. Heard once."""
    state = turn.state
    if signal.id in state.heard or state.ended is not None:
        return
    waiting = [step for step, wait in state.held().items() if (wait.kind, wait.name) == ("signal", signal.name)]
    dues = dues_of_waits(state) if waiting else {}
    in_time = [step for step in waiting if (due := dues.get(step)) is None or signal.at < due]
    turn.emit(SignalCame(turn.now, signal.id, signal.name, signal.value, signal.actor, kept=not in_time))
    for step in in_time:
        turn.emit(WaitEnded(turn.now, step, "granted", signal.value, signal.actor))


def end_with_kept(turn: Turn, steps: Iterable[int]) -> None:
    """Of waits that have just begun, end those whose signal came before."""
    signals = turn.state.signals
    for step in steps:
        wait = turn.state.calls.wait(step)
        if wait is not None and wait.kind == "signal" and (kept := signals.get(wait.name)):
            value, actor = kept[0]
            turn.emit(WaitEnded(turn.now, step, "granted", value, actor))
