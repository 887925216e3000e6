"""A run as it goes: a live picture on a terminal, a few lines elsewhere.

Every event costs a few counter updates, however many steps there are. What is drawn is drawn at most ten times a second,
by the conductor's own thread, between two turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from legato.kernel import events as ev
from legato.kernel.family import WAITS
from legato.kernel.standing import standing_of
from legato.kernel.state import BACKOFF, HELD, RunState
from legato.ports.clock import Clock
from legato.service.estimating import Timings
from legato.service.naming import names_of
from legato.service.shell import command as shell
from legato.service.tally import Tally
from legato.surfaces.cli.call import Call
from legato.surfaces.cli.numbers import progress_in_words
from legato.surfaces.cli.output import Screen, bar, cells_of, clip, count
from legato.surfaces.cli.pace import Pace
from legato.surfaces.cli.streaming import Stream
from legato.surfaces.cli.summary import in_standing
from legato.terms.attempt import Wait
from legato.terms.fact import Progress
from legato.terms.instant import Instant, format_seconds

DRAW_EVERY_S, TELL_EVERY_S = 0.1, 5.0
PATIENCE_S = 0.3
"""Runs that end sooner are told, not drawn."""
MOST_SINGLE = 50
"""Plans of more steps are told by node, not by step."""
MOST_FAILURES = 20
MOST_WAITS = 5
HELD_S = 0.5
"""So long after it went on, a run tells what it was waiting for before and still is."""
MOST_RUNNING, MOST_POOLS, MOST_FAR = 5, 2, 3
_BAR = 16


class Watcher(Protocol):
    """What follows a run and tells of it."""

    def begin(self, state: RunState, slots: int, timings: Timings) -> None:
        """The run is about to start, with so many workers and this history."""

    def hear(self, state: RunState, events: list[ev.AnyEvent]) -> None:
        """These events were recorded."""

    def tick(self) -> None:
        """Time has passed."""

    def note(self, text: str) -> None:
        """Tell people something beside."""

    def end(self) -> None:
        """The run is over, or is left."""


class Lines:
    """Plain lines: a step or, in a large plan, a node that is done; each failure; and how far it is, every few seconds.

    `tally` holds what the run's steps told; somebody else keeps it.
    """

    def __init__(self, screen: Screen, clock: Clock, tally: Tally) -> None:
        self.screen, self.clock, self.tally = screen, clock, tally
        self._failures = self._waits = self._undone = 0
        self._told = Instant(0)

    def begin(self, state: RunState, slots: int, timings: Timings) -> None:
        """The run is about to start."""
        self.state, self._told = state, self.clock.now()
        self.pace = Pace(state, slots, timings, self._told)
        self.names = names_of(state)
        self._held = state.held()

    def hear(self, state: RunState, events: list[ev.AnyEvent]) -> None:
        """Count what happened, and tell what is worth a line."""
        for event in events:
            if (tell := _TELLING.get(type(event))) is not None:
                tell(self, event)
        self.tick()

    def tick(self) -> None:
        """Say how far the run is, if nothing was said for a while; not if all it does is wait."""
        now = self.clock.now()
        if self._held and now - self._told >= HELD_S * 1e6:
            self._tell_held()
        if self.state.running and now - self._told >= TELL_EVERY_S * 1e6:
            self.say(self.state_in_words(now))

    def note(self, text: str) -> None:
        """Tell people something beside."""
        self.say(text)

    def end(self) -> None:
        """The run is over."""
        self.screen.stream.flush()

    def say(self, text: str) -> None:
        """Write one line, now."""
        self._told = self.clock.now()
        self.screen.say(text)
        self.screen.stream.flush()

    def state_in_words(self, now: Instant) -> str:
        """How far the run is: `812 of 1,475 done, 3 failed, about 40 s left`."""
        if self.state.plan.backfill is not None:
            return f"{in_standing(standing_of(self.state))}{self.time_left(now)}{self.far()}"
        return f"{self.pace.done:,} of {count(self.pace.total, 'step')} done{self.trouble()}{self.time_left(now)}{self.far()}"

    def far(self) -> str:
        """How far some of the steps that run say they are."""
        told = [(index, each) for index in self.state.running if (each := self.tally.progress.get(index)) is not None]
        return "".join(f"; {self.names.of(index)} {progress_in_words(each)}" for index, each in told[:MOST_FAR])

    def trouble(self) -> str:
        """What failed or waits for another try."""
        waiting = self.state.counts[BACKOFF]
        told = [(self._failures, "failed"), (waiting, "waiting to be tried again")]
        return "".join(f", {number:,} {words}" for number, words in told if number)

    def time_left(self, now: Instant) -> str:
        """How long the rest takes, where history tells."""
        left_s, unknown = self.pace.remaining_s(now)
        return f", {'at least' if unknown else 'about'} {format_seconds(left_s)} left" if left_s >= 1 else ""

    def _succeeded(self, event: ev.StepSucceeded) -> None:
        index, seconds, node = event.step, event.seconds, self.state.plan.steps[event.step].node
        last = self.pace.see_cached(node) if event.cached else self.pace.see(node, seconds)
        if self.pace.total <= MOST_SINGLE:
            head = self.screen.paint("cached  " if event.cached else "done    ", "green")
            tail = f"made by run {event.cached}" if event.cached else format_seconds(seconds)
            self.say(f"{head}{self.names.of(index)}  {self.screen.paint(tail, 'dim')}")
        elif last and index < self.state.planned:
            self._node_done(node)

    def _node_done(self, node: str) -> None:
        if node not in self.pace.size:  # a wait
            return
        took = self.screen.paint(format_seconds(self.pace.seconds_of(node)) + " of work", "dim")
        size, unmade = self.pace.size[node], self.pace.unmade.get(node, 0)
        steps = f"{size - unmade:,} of {count(size, 'step')}" if unmade else count(size, "step")
        self.say(f"{self.screen.paint('done', 'yellow' if unmade else 'green')}    {node}  {steps}  {took}")

    def _failed(self, event: ev.AttemptFailed) -> None:
        if event.then not in ("fail", "stuck"):
            return
        if event.then == "fail":
            self._settle(event.step)
        self._failures += 1
        if self._failures <= MOST_FAILURES:
            first = event.error.message.partition("\n")[0]
            undo = "undo of " if event.then == "stuck" else ""
            head = f"{self.screen.paint('failed', 'red')}  {undo}{self.names.of(event.step)}: "
            self.say(head + clip(first, max(40, 2 * self.screen.width - cells_of(head))))
        elif self._failures == MOST_FAILURES + 1:
            self.say("more failures are counted, and told at the end")

    def _called(self, event: ev.StepsCalled | ev.StepsRevived) -> None:
        for call in event.calls:
            reused = self._reused(event.parent, call.keys) if isinstance(event, ev.StepsCalled) and self.state.taken else 0
            if call.wait is None:
                self.pace.join(call.node, len(call.keys) - reused, again=isinstance(event, ev.StepsRevived))
            elif not reused:
                self._waiting(call.wait)

    def _reused(self, parent: int, keys: Sequence[bytes]) -> int:
        """Tell which of the calls take what an earlier run recorded; how many they are."""
        known = self.state.calls.of(parent)
        found = [index for index in map(known.get, keys) if index in self.state.taken]
        for index in found if self.pace.total <= MOST_SINGLE else ():
            assert index is not None
            words = self.screen.paint(f"run {self.state.taken[index].run}", "dim")
            self.say(f"{self.screen.paint('reused', 'dim')}  {self.names.of(index)}  {words}")
        return len(found)

    def _waiting(self, wait: Wait) -> None:
        """Tell what people can do; of a sleep there is nothing to tell."""
        if wait.kind == "sleep":
            return
        self._waits += 1
        if self._waits <= MOST_WAITS:
            words = ("approve", self.state.run_id) if wait.kind == "approval" else ("signal", wait.name)
            of = f"{wait.kind}, {wait.name}{f' ({wait.who})' if wait.who else ''}"
            self.say(f"{self.screen.paint('waits', 'yellow')}   {of}: {self.screen.paint(shell('legato', *words), 'bold')}")
        elif self._waits == MOST_WAITS + 1:
            self.say("there is more to answer: legato waits")

    def _tell_held(self) -> None:
        """Tell what a run that goes on waits for still: not what somebody has answered meanwhile."""
        held, self._held = self._held, {}
        for index, wait in held.items():
            if self.state.status[index] == HELD:
                self._waiting(wait)

    def _paused(self, event: ev.RunPaused) -> None:
        why = f" ({event.reason})" if event.reason else ""
        under_way = len(self.state.running)
        ending = f"; {count(under_way, 'attempt')} under way will end" if under_way else ""
        self.say(f"{self.screen.paint('paused', 'yellow')}  by {event.actor}{why}{ending}")

    def _unpaused(self, event: ev.RunUnpaused) -> None:
        self.say(f"{self.screen.paint('goes on', 'green')} by {event.actor}")

    def _taken_back(self, event: ev.StepUndone) -> None:
        handling = self.state.handling(event.step)
        if not handling.undo and not handling.outputs:  # there was nothing to take back
            return
        self._undone += 1
        if self._undone <= MOST_SINGLE:
            self.say(f"{self.screen.paint('undone', 'yellow')}  {self.names.of(event.step)}")
        elif self._undone == MOST_SINGLE + 1:
            self.say("what else is undone is counted, and told at the end")

    def _ended(self, event: ev.RunEnded) -> None:
        """What flows called is told by node: now there can be no more of it."""
        if self.pace.total > MOST_SINGLE:
            for node in dict.fromkeys(step.node for step in self.state.plan.steps[self.state.planned :]):
                self._node_done(node)

    def _declined(self, event: ev.StepDeclined) -> None:
        self._settle(event.step)

    def _closed(self, event: ev.StepsSkipped | ev.StepsCancelled) -> None:
        for index in event.steps:
            self._settle(index)

    def _settle(self, index: int) -> None:
        if self.state.plan.steps[index].node in WAITS.values():
            return
        self.pace.see(self.state.plan.steps[index].node, None)


_TELLING: dict[type, Callable[[Lines, Any], None]] = {
    ev.StepSucceeded: Lines._succeeded,
    ev.AttemptFailed: Lines._failed,
    ev.StepDeclined: Lines._declined,
    ev.StepsSkipped: Lines._closed,
    ev.StepsCancelled: Lines._closed,
    ev.StepsCalled: Lines._called,
    ev.StepsRevived: Lines._called,
    ev.StepUndone: Lines._taken_back,
    ev.RunPaused: Lines._paused,
    ev.RunUnpaused: Lines._unpaused,
    ev.RunEnded: Lines._ended,
}
"""What is told of which events."""


class Live(Lines):
    """Lines as above, and below them a picture that is drawn over: how far it is, what runs, how long it will take."""

    def begin(self, state: RunState, slots: int, timings: Timings) -> None:
        """The run is about to start."""
        super().begin(state, slots, timings)
        self._due = Instant(self._told + round(PATIENCE_S * 1e6))
        self._shown: list[str] = []

    def tick(self) -> None:
        """Draw, if the last picture is old."""
        now = self.clock.now()
        if now >= self._due:
            self._due = Instant(now + round(DRAW_EVERY_S * 1e6))
            self._draw("", self._picture(now))

    def say(self, text: str) -> None:
        """Write one line above the picture."""
        self._draw(f"{text}\n", self._shown)

    def end(self) -> None:
        """Take the picture away."""
        self._draw("", [])

    def _picture(self, now: Instant) -> list[str]:
        done, total = self.pace.done, self.pace.total
        told = f"{done:,}/{total:,}{self.trouble()}"
        if self.state.plan.backfill is not None:
            told = in_standing(standing_of(self.state))
        head = f" {told}  {format_seconds(self.pace.elapsed_s(now))}{self.time_left(now)}"
        lines = [self._bar(done / max(1, total), min(40, max(8, self.screen.width - cells_of(head) - 1))) + head]
        for index, attempt in list(self.state.running.items())[:MOST_RUNNING]:
            took = format_seconds((now - attempt.started) / 1e6)
            stopping = f" stopping ({attempt.stopping})" if attempt.stopping else ""
            lines.append(self._running(self.names.of(index), self.tally.progress.get(index), took + stopping))
        more = len(self.state.running) - MOST_RUNNING
        lines += [self.screen.paint(f"  and {more} more", "dim")] if more > 0 else []
        board = self.state.board
        asleep = {share: number for share, number in self.state.track.steps.sleeping().items() if share[0] != self.state.own_pool}
        for (pool, key), number in list(asleep.items())[:MOST_POOLS]:
            what = f"  {count(number, 'step')} wait for pool {pool}{f'[{key}]' if key else ''} ({board.limits[pool]})"
            lines.append(self.screen.paint(clip(what, self.screen.width - 1), "yellow"))
        return lines

    def _running(self, name: str, progress: Progress | None, took: str) -> str:
        """One step that runs: its name, how far it says it is, how long it has run."""
        room = self.screen.width - len(took) - 6
        far = ""
        if progress is not None:
            words = clip(progress_in_words(progress), room // 2)
            room -= cells_of(words) + 2
            if progress.total and room > _BAR + 12:
                far = self._bar(progress.done / progress.total, _BAR) + " "
                room -= _BAR + 1
            far += f"{words}  "
        return f"  {self.screen.paint(clip(name, room), 'cyan')}  {far}{self.screen.paint(took, 'dim')}"

    def _bar(self, share: float, width: int) -> str:
        full, rest = bar(share, width)
        return self.screen.paint(full, "green") + self.screen.paint(rest, "dim")

    def _draw(self, above: str, picture: list[str]) -> None:
        """Put a picture in the place of the one before, in one write, with text above that stays."""
        up = f"\x1b[{len(self._shown)}A\r\x1b[J" if self._shown else ""
        self.screen.stream.write(up + above + "".join(f"{line}\n" for line in picture))
        self.screen.stream.flush()
        self._shown = picture


def watcher_for(call: Call, clock: Clock, tally: Tally) -> Watcher:
    """What suits where the answer goes."""
    if call.json:
        return Stream(call)
    screen = call.screen
    return Live(screen, clock, tally) if screen.is_terminal else Lines(screen, clock, tally)
