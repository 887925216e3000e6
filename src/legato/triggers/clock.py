"""What is due: ticks of the clock, ends of windows, assets that grew stale."""

from __future__ import annotations

from heapq import heappop
from typing import Any

from legato.declare.moment import Timed
from legato.terms.instant import Instant, iso
from legato.triggers.events import Noted, Skipped, SkipReason
from legato.triggers.inputs import TimePassed
from legato.triggers.keys import ALL, NONE, WHOLE, union
from legato.triggers.reach import about_event, about_time, ended_windows, next_end
from legato.triggers.schedule import Schedule
from legato.triggers.state import TriggerState, as_came
from legato.triggers.turn import Hit, TickAt, Turn
from legato.triggers.verdict import judge
from legato.triggers.words import moment_in_words

ON_TIME_US = 60_000_000
"""A tick that is decided within a minute came in time; with `catch_up="none"` a later one is no run."""


def decide_due(turn: Turn, passed: TimePassed) -> None:
    """Decide all ticks up to now. It costs what is due, and nothing for the triggers that are not."""
    state = turn.state
    while state.heap and state.heap[0][0] <= turn.now:
        due, name = heappop(state.heap)
        trigger = state.triggers[name]
        if trigger.due == due:
            trigger.due = None
            _Pass(turn, trigger).decide()
            state.arm(trigger)


class _Pass:
    """One trigger whose time has come. What stood at the beginning is held on to: each decision moves the trigger on."""

    def __init__(self, turn: Turn, trigger: TriggerState) -> None:
        self.turn, self.trigger, self.form = turn, trigger, trigger.form
        self.now, self.until, self.fresh, self.stale_from = turn.now, trigger.until, trigger.fresh, trigger.stale_from
        self.live: dict[Instant, list[int]] = {}
        """The ticks that are to be judged: by instant, the moments that tick then."""

    def decide(self) -> None:
        """Decides every tick that is due."""
        for number, schedule in enumerate(self.form.schedules):
            if schedule is None:
                at = self._state_begun(number)
                ticks = [] if at is None else [at]
            elif self.form.negated[number]:
                ticks = schedule.between(self.until, self.now)
            else:
                ticks = self._to_judge(number, schedule)
            if self.form.negated[number]:
                self._note(number, ticks)
                continue
            for tick in ticks:
                self.live.setdefault(tick, []).append(number)
        for at in sorted(self.live):
            numbers = self.live[at]
            judge(self.turn, self.trigger, [self._hit(number, at) for number in numbers], self._tick(at, numbers))

    def _to_judge(self, number: int, schedule: Schedule) -> list[Instant]:
        """The ticks of a moment that may become runs; those that are ruled out before anybody asks more are decided here."""
        moment: Timed = self.form.leaves[number]  # type: ignore[assignment]
        if self.trigger.paused or not (moment.calendar or moment.catch_up == "all"):
            span = schedule.span(self.until, self.now)
            if span is None:
                return []
            ticks, first, last, before_last = span
            if self.trigger.paused:
                self._skip(number, "paused", ticks, first, last)
                return []
        else:
            business = self._without_days_off(number, schedule, schedule.between(self.until, self.now))
            if moment.catch_up == "all" or not business:
                return business
            ticks, first, last, before_last = len(business), business[0], business[-1], business[max(0, len(business) - 2)]
        if moment.catch_up == "none" and self.now - last > ON_TIME_US:
            self._skip(number, "catch-up", ticks, first, last, policy=moment.catch_up)
            return []
        if ticks > 1:
            self._skip(number, "catch-up", ticks - 1, first, before_last, policy=moment.catch_up, stands=last)
        return [last]

    def _without_days_off(self, number: int, schedule: Schedule, ticks: list[Instant]) -> list[Instant]:
        """Decides the ticks on days that are no business days, those of one day off together; gives the others."""
        business: list[Instant] = []
        closed: dict[str, list[Instant]] = {}
        for tick in ticks:
            day_off = schedule.day_off(tick)
            if closed and day_off not in closed:
                self._skip_closed(number, closed)
                closed = {}
            if day_off:
                closed.setdefault(day_off, []).append(tick)
            else:
                business.append(tick)
        self._skip_closed(number, closed)
        return business

    def _skip_closed(self, number: int, closed: dict[str, list[Instant]]) -> None:
        for day_off, ticks in closed.items():
            self._skip(number, "calendar", len(ticks), ticks[0], ticks[-1], day_off=day_off)

    def _skip(self, number: int, why: SkipReason, ticks: int, first: Instant, last: Instant, **numbers: Any) -> None:
        """Decides ticks of one moment that follow each other, for one reason."""
        reach = iso(first) if ticks == 1 else f"{iso(first)}..{iso(last)}"
        self.turn.emit(
            Skipped(
                trigger=self.trigger.node.name, key=f"{reach}#{self.form.ids[number]}", at=last, first=first, ticks=ticks,
                on=self.now, why=why, moments=(moment_in_words(self.form.leaves[number]),), numbers=numbers, timed=True,
            )
        )  # fmt: skip

    def _note(self, number: int, ticks: list[Instant]) -> None:
        """A moment that only counts under `~` came: that is no tick, but it is remembered."""
        counts = NONE
        for at in ticks:
            counts = union(counts, self._hit(number, at).counts)
        if ticks:
            came = (as_came(self.form.ids[number], counts),)
            self.turn.emit(Noted(trigger=self.trigger.node.name, on=self.now, came=came, timed=True))

    def _state_begun(self, number: int) -> Instant | None:
        """When the node grew stale, or the last window ended that no tick was about."""
        if self.form.ages_us[number]:
            due = Instant(self.stale_from + self.form.ages_us[number])
            return due if due <= self.now else None
        if number not in self.form.missing:
            return None
        found, at = None, next_end(self.trigger.node.partitions, self.until)
        while at is not None and at <= self.now:
            found, at = at, next_end(self.trigger.node.partitions, at)
        return found if found is not None else self.now if self.fresh else None

    def _hit(self, number: int, at: Instant) -> Hit:
        parts, dynamic = self.trigger.node.partitions, self.turn.state.dynamic
        schedule = self.form.schedules[number]
        if schedule is not None:
            about = about_time(parts, None if parts is None else schedule.before(at), at, dynamic)
            return Hit(number, about, about)
        if number in self.form.missing:
            about = union(self.fresh, ended_windows(parts, self.until, self.now, dynamic))
            return Hit(number, about, about)
        return Hit(number, WHOLE if parts is None else ALL, about_event(parts, at, dynamic))

    def _tick(self, at: Instant, numbers: list[int]) -> TickAt:
        kind = type(self.form.leaves[numbers[0]]).__name__.lower()
        is_clock = any(self.form.schedules[number] is not None for number in numbers)
        return TickAt(key=iso(at) if is_clock else f"{kind}:{iso(at)}", at=at, timed=True, gives={"tick": iso(at)})
