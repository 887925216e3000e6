"""What people read: tables, wrapping, colour; and how a run is drawn while it goes."""

from __future__ import annotations

import io

import pytest

from legato.kernel import events as ev
from legato.kernel.fold import fold
from legato.kernel.state import RunState
from legato.plan.records import Handling, Plan, Reason, Step
from legato.surfaces.cli.output import Screen, as_plain, cells_of, clip, count, size_in_words, wrap
from legato.surfaces.cli.progress import Lines, Live
from legato.terms.fact import Error
from legato.terms.instant import Instant

STEP_S = 1_000_000


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Time stands until it is moved."""

    def __init__(self) -> None:
        self.instant = Instant(0)

    def now(self) -> Instant:
        return self.instant

    def noise(self, bits: int) -> int:
        return 0

    def move(self, seconds: float) -> None:
        self.instant = Instant(self.instant + round(seconds * 1e6))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def test_tables_align_and_leave_out_what_is_empty() -> None:
    stream = io.StringIO()
    Screen(stream).table(("name", "tags", "steps"), [("a", "", "7"), ("longer", "", "1,475")], right=("steps",))
    assert stream.getvalue() == "name    steps\na           7\nlonger  1,475\n"


def test_wide_characters_count_two_cells() -> None:
    assert (cells_of("東京"), cells_of("\x1b[31mred\x1b[0m"), cells_of("e\u0301")) == (4, 3, 1)
    assert cells_of(clip("東京東京東京", 7)) <= 7


def test_a_terminal_wraps_the_last_column(terminal: Terminal) -> None:
    Screen(terminal).table(("name", "reason"), [("a", "word " * 15)])
    lines = terminal.getvalue().splitlines()[1:]
    assert len(lines) > 1
    assert all(cells_of(line) <= 60 for line in lines)
    assert all(line.startswith("      word") for line in lines[1:])


def test_colour_is_for_terminals_that_want_it(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Screen(terminal).status("failed") == "\x1b[31mfailed\x1b[0m"
    assert Screen(io.StringIO()).status("failed") == "failed"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen(terminal).status("failed") == "failed"


def test_small_words() -> None:
    assert [count(1, "step"), count(1475, "step")] == ["1 step", "1,475 steps"]
    assert [size_in_words(number) for number in (41, 2_048, 123_456_789)] == ["41 B", "2.0 kB", "123 MB"]
    assert wrap("/a/very/long/path/that/is/never/cut next", 20) == ["/a/very/long/path/that/is/never/cut", "next"]


def test_records_become_objects_whose_instants_are_times() -> None:
    plain = as_plain(ev.StepDeclined(Instant(STEP_S), 3, 4))
    assert (plain["step"], plain["token"], plain["at"].isoformat()) == (3, 4, "1970-01-01T00:00:01+00:00")


# -- a run as it goes --


def make_state(size: int) -> RunState:
    steps = [Step("day", f"{number:03}", True, Reason("missing")) for number in range(size)]
    return RunState("run", Plan(request="", project="", steps=steps, handling={"day": Handling()}))


def play(watcher: Lines, clock: Clock, state: RunState, outcomes: str, seconds: float = 0.0) -> None:
    """Let the steps succeed (.) or fail (x) one after the other."""
    for index, outcome in enumerate(outcomes):
        token = state.next_token
        started = ev.AttemptsStarted(clock.now(), (index,), token)
        fold(state, started)
        watcher.hear(state, [started])
        clock.move(seconds)
        ended: ev.AnyEvent = ev.StepSucceeded(clock.now(), index, token, seconds)
        if outcome == "x":
            ended = ev.AttemptFailed(clock.now(), index, token, Error("raised", "no\nreally not"), "fail", seconds)
        fold(state, ended)
        watcher.hear(state, [ended])


def test_plain_lines_tell_each_step_of_a_small_plan() -> None:
    stream, clock, state = io.StringIO(), Clock(), make_state(3)
    lines = Lines(Screen(stream), clock)
    lines.begin(state, 1, {})
    play(lines, clock, state, ".x.", 0.25)
    assert stream.getvalue() == "done    day@000  250 ms\nfailed  day@001: no\ndone    day@002  250 ms\n"


def test_plain_lines_of_a_large_plan_come_by_node_and_by_time() -> None:
    stream, clock, state = io.StringIO(), Clock(), make_state(100)
    lines = Lines(Screen(stream), clock)
    lines.begin(state, 1, {})
    play(lines, clock, state, "." * 10 + "x" + "." * 89, 0.1)
    assert stream.getvalue().splitlines() == [
        "failed  day@010: no",
        "61 of 100 steps done, 1 failed, about 4.0 s left",
        "done    day  99 of 100 steps  9.9 s of work",
    ]


def test_many_failures_are_told_up_to_twenty() -> None:
    stream, clock, state = io.StringIO(), Clock(), make_state(60)
    lines = Lines(Screen(stream), clock)
    lines.begin(state, 1, {})
    play(lines, clock, state, "x" * 60)
    assert len(stream.getvalue().splitlines()) == 21
    assert stream.getvalue().endswith("more failures are counted, and told at the end\n")


def test_the_picture_is_drawn_at_most_ten_times_a_second(terminal: Terminal) -> None:
    clock, state = Clock(), make_state(1000)
    live = Live(Screen(terminal), clock)
    live.begin(state, 1, {})
    play(live, clock, state, "." * 1000, 0.001)
    assert 6 <= terminal.getvalue().count("/1,000") <= 10


def test_the_picture_shows_what_runs_and_goes_away(terminal: Terminal) -> None:
    clock, state = Clock(), make_state(4)
    live = Live(Screen(terminal), clock)
    live.begin(state, 2, {"day": (10, 20.0)})
    started = ev.AttemptsStarted(clock.now(), (0, 1), 1)
    fold(state, started)
    live.hear(state, [started])
    assert terminal.getvalue() == ""
    clock.move(1)
    live.tick()
    shown = terminal.getvalue()
    assert " 0/4  1.0 s, about 4.0 s left" in shown
    assert "day@000" in shown
    assert "day@001" in shown
    live.end()
    assert terminal.getvalue() == shown + "\x1b[3A\r\x1b[J"
