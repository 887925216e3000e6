"""Broken variants of the triggers: the cases of `tests/triggers` catch each of them, and pass on the product."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from stage import Stage
from test_following import check

from legato.service.ahead import Ahead
from legato.triggers import arrivals, clock, decide, fold, inputs, schedule, state, verdict
from legato.triggers.wall import _instant, _offsets

CASES = ("test_clock", "test_combining", "test_arrivals", "test_same_run")
Mutant = Callable[[pytest.MonkeyPatch], None]


def triggers() -> None:
    """The triggers' cases, with a process that goes on and with one that ends before each input."""
    for name, case in (each for module in CASES for each in vars(importlib.import_module(module)).items()):
        if not name.startswith("test_") or list(inspect.signature(case).parameters) != ["play"]:
            continue
        for restarts in (False, True):
            opened: list[Stage] = []

            def play(*faces: Any, opened: list[Stage] = opened, restarts: bool = restarts, **options: Any) -> Stage:
                opened.append(Stage(*faces, restarts=restarts, **options))
                return opened[-1]

            case(play)
            for stage in opened:
                stage.close()


def forgets_events(patch: pytest.MonkeyPatch) -> None:
    """An event that is told again counts again."""
    hear = arrivals._hear

    def hear_anew(turn: Any, *rest: Any) -> None:
        turn.state.known = set()
        hear(turn, *rest)

    patch.setattr(arrivals, "_hear", hear_anew)


def uses_nothing_up(patch: pytest.MonkeyPatch) -> None:
    """What came once holds for ever."""
    patch.setattr(fold, "_consume", lambda *_: None)


def makes_up_for_every_tick(patch: pytest.MonkeyPatch) -> None:
    """After a stop every tick is a run, whatever the policy."""
    patch.setattr(clock._Pass, "_to_judge", lambda self, number, schedule: schedule.between(self.until, self.now))


def runs_beside_itself(patch: pytest.MonkeyPatch) -> None:
    """A tick is a run although the run before goes on."""
    patch.setattr(verdict, "_without_open", lambda trigger, fired: (fired, ""))


def runs_twice_in_autumn(patch: pytest.MonkeyPatch) -> None:
    """A time of day that comes twice is two ticks, and one that is skipped none."""
    patch.setattr(schedule.CronSchedule, "_times_of_day", schedule.CronSchedule._real_times)


def runs_an_hour_late_in_spring(patch: pytest.MonkeyPatch) -> None:
    """A time that the clock skips is read as if it had not been moved."""
    patch.setattr(schedule, "once", lambda zone, wall: (_instant(wall - _offsets(zone, wall)[0]), ""))


def sees_one_window(patch: pytest.MonkeyPatch) -> None:
    """A tick is about the newest window alone."""
    about = clock.about_time
    patch.setattr(clock, "about_time", lambda parts, since, at, dynamic: about(parts, None, at, dynamic))


def works_on_holidays(patch: pytest.MonkeyPatch) -> None:
    """Every day is a business day."""
    patch.setattr(schedule, "day_off", lambda calendar, day: "")


def starts_from_nothing(patch: pytest.MonkeyPatch) -> None:
    """A new process knows nothing of the one before."""
    patch.setattr(state, "_restore", lambda trigger, kept: None)


def asks_for_all(patch: pytest.MonkeyPatch) -> None:
    """A new version of one partition asks for every partition."""
    patch.setattr(arrivals, "about_version", lambda *_: arrivals.ALL)


def makes_all_twice(patch: pytest.MonkeyPatch) -> None:
    """What the run that published makes itself is made by another, too."""
    patch.setattr(arrivals, "set_apart", lambda node, about, ahead, extents: (about, arrivals.NONE))


def makes_twice_what_was_left_to_a_run(patch: pytest.MonkeyPatch) -> None:
    """What a run was to make, and has made, is asked for when it is over."""
    patch.setitem(decide._BY_INPUT, inputs.RunMade, lambda turn, made: None)


def loses_what_a_run_left(patch: pytest.MonkeyPatch) -> None:
    """What a run was to make and has not made is nobody's."""
    patch.setitem(decide._BY_INPUT, inputs.RunOver, lambda turn, over: None)


def lets_a_run_use_up_nothing(patch: pytest.MonkeyPatch) -> None:
    """What came before the run that makes the same is still there when it has."""
    patch.setattr(fold, "_hold", lambda state, trigger, later: state.hold(trigger, later))


MUTANTS: list[Mutant] = [
    forgets_events, uses_nothing_up, makes_up_for_every_tick, runs_beside_itself, runs_twice_in_autumn,
    runs_an_hour_late_in_spring, sees_one_window, works_on_holidays, starts_from_nothing, asks_for_all,
    makes_all_twice, makes_twice_what_was_left_to_a_run, loses_what_a_run_left, lets_a_run_use_up_nothing,
]  # fmt: skip


@cache
def product_passes() -> bool:
    """Whether the product itself passes; asked once, before anything is broken."""
    triggers()
    return True


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_broken_trigger_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert product_passes()
    schedule._cron.cache_clear()
    mutant(monkeypatch)
    try:
        with pytest.raises(Exception):  # noqa: B017  (whatever a broken product raises, it is caught)
            triggers()
    finally:
        schedule._cron.cache_clear()


@pytest.mark.long
def test_triggers_that_take_what_runs_have_begun_for_what_they_will_make_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    list(map(check, range(20)))
    monkeypatch.setattr(Ahead, "_begin", lambda self, steps: None)
    with pytest.raises(AssertionError):
        list(map(check, range(20)))
