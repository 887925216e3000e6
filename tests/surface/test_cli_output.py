"""What people read: tables, wrapping, colour; and how a run is drawn while it goes."""

from __future__ import annotations

import io

import pytest

from legato.kernel import events as ev
from legato.kernel.fold import fold
from legato.kernel.state import RunState
from legato.plan.records import Handling, Plan, Reason, Step
from legato.service.tally import Tally
from legato.surfaces.cli.output import Screen, cells_of, clip, count, size_in_words, without_colour, wrap
from legato.surfaces.cli.pace import Pace
from legato.surfaces.cli.progress import Lines, Live
from legato.surfaces.shape import as_plain
from legato.terms.attempt import Call, Wait
from legato.terms.fact import Error, Progress
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
    lines = Lines(Screen(stream), clock, Tally())
    lines.begin(state, 1, {})
    play(lines, clock, state, ".x.", 0.25)
    assert stream.getvalue() == "done    day@000  250 ms\nfailed  day@001: no\ndone    day@002  250 ms\n"


def test_plain_lines_of_a_large_plan_come_by_node_and_by_time() -> None:
    stream, clock, state = io.StringIO(), Clock(), make_state(100)
    lines = Lines(Screen(stream), clock, Tally())
    lines.begin(state, 1, {})
    play(lines, clock, state, "." * 10 + "x" + "." * 89, 0.1)
    assert stream.getvalue().splitlines() == [
        "failed  day@010: no",
        "61 of 100 steps done, 1 failed, about 4.0 s left",
        "done    day  99 of 100 steps  9.9 s of work",
    ]


def test_many_failures_are_told_up_to_twenty() -> None:
    stream, clock, state = io.StringIO(), Clock(), make_state(60)
    lines = Lines(Screen(stream), clock, Tally())
    lines.begin(state, 1, {})
    play(lines, clock, state, "x" * 60)
    assert len(stream.getvalue().splitlines()) == 21
    assert stream.getvalue().endswith("more failures are counted, and told at the end\n")


def test_the_picture_is_drawn_at_most_ten_times_a_second(terminal: Terminal) -> None:
    clock, state = Clock(), make_state(1000)
    live = Live(Screen(terminal), clock, Tally())
    live.begin(state, 1, {})
    play(live, clock, state, "." * 1000, 0.001)
    assert 6 <= terminal.getvalue().count("/1,000") <= 10


def test_the_picture_shows_what_runs_and_goes_away(terminal: Terminal) -> None:
    clock, state = Clock(), make_state(4)
    live = Live(Screen(terminal), clock, Tally())
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


def test_how_far_running_steps_say_they_are(terminal: Terminal) -> None:
    clock, state, tally, stream = Clock(), make_state(4), Tally(), io.StringIO()
    live, lines = Live(Screen(terminal), clock, tally), Lines(Screen(stream), clock, tally)
    started = ev.AttemptsStarted(clock.now(), (0, 1, 2), 1)
    fold(state, started)
    for watcher in (live, lines):
        watcher.begin(state, 3, {})
    for step, fact in enumerate((Progress(3, 4, "loading \x1b[31m" + "x" * 60), Progress(1_500_000), Progress(0, 0))):
        tally.hear(ev.FactsNoted(clock.now(), step, step + 1, (fact,)))
    clock.move(6)
    live.tick()
    lines.tick()
    shown = [without_colour(line) for line in terminal.getvalue().splitlines()]
    assert all(cells_of(line) <= 60 for line in shown)
    assert shown[1].startswith("  day@000  3/4 loading  [31mxxxx")
    assert shown[2:] == ["  day@001  1,500,000  6.0 s", "  day@002  0/0  6.0 s"]
    assert stream.getvalue().startswith("0 of 4 steps done; day@000 3/4 loading  [31mx")
    assert stream.getvalue().endswith("; day@001 1,500,000; day@002 0/0\n")
    tally.hear(ev.FactsNoted(clock.now(), 0, 1, (Progress(1, 4, "half"),)))
    tally.hear(ev.StepSucceeded(clock.now(), 1, 2, 6.0))
    clock.move(1)
    live.tick()
    assert "  day@000  ━━━━──────────── 1/4 half  7.0 s" in without_colour(terminal.getvalue())
    assert "  day@001  7.0 s" in without_colour(terminal.getvalue())


def hear(watcher: Lines, state: RunState, *events: ev.AnyEvent) -> None:
    """Let these events happen."""
    for event in events:
        fold(state, event)
        watcher.hear(state, [event])


def make_flow(stream: io.StringIO, clock: Clock, **handling: Handling) -> tuple[Lines, RunState]:
    """A run of a flow that is under way, and who tells of it."""
    steps = [Step("flow", "", True, Reason("requested"))]
    state = RunState("run", Plan(request="", project="", steps=steps, handling={"flow": Handling(flow=True), **handling}))
    lines = Lines(Screen(stream), clock, Tally())
    lines.begin(state, 1, {})
    hear(lines, state, ev.AttemptsStarted(clock.now(), (0,), 1))
    return lines, state


def test_what_a_flow_asks_people_is_told_with_the_answer() -> None:
    stream, clock = io.StringIO(), Clock()
    lines, state = make_flow(stream, clock)
    waits = (Wait("approval", "Publish?", who="finance"), Wait("signal", "file ready"), Wait("sleep", seconds=60.0))
    calls = tuple(Call(str(number), wait=wait) for number, wait in enumerate(waits))
    hear(lines, state, ev.StepsCalled(clock.now(), 0, calls), ev.StepParked(clock.now(), 0, 1, 0.1, (1,)))
    told = ["waits   approval, Publish? (finance): legato approve run", "waits   signal, file ready: legato signal 'file ready'"]
    assert stream.getvalue().splitlines() == told
    clock.move(3600)
    lines.tick()
    assert stream.getvalue().splitlines() == told, "a run that only waits has nothing to tell"


def test_a_run_that_goes_on_tells_what_it_still_waits_for() -> None:
    stream, clock = io.StringIO(), Clock()
    _, state = make_flow(io.StringIO(), clock)
    fold(state, ev.StepsCalled(clock.now(), 0, (Call("a", wait=Wait("approval", "A?")), Call("b", wait=Wait("approval", "B?")))))
    lines = Lines(Screen(stream), clock, Tally())
    lines.begin(state, 1, {})
    hear(lines, state, ev.WaitEnded(clock.now(), 1, "granted", b"\xc3", "ann"))
    clock.move(1)
    lines.tick()
    assert stream.getvalue() == "waits   approval, B?: legato approve run\n"


def test_what_is_undone_is_told_if_there_was_something_to_take_back() -> None:
    stream, clock = io.StringIO(), Clock()
    lines, state = make_flow(stream, clock, post=Handling(undo=True), read=Handling())
    hear(lines, state, ev.StepsCalled(clock.now(), 0, (Call("a", "post"), Call("b", "read"), Call("c", "post"))))
    for index in (1, 2, 3):
        hear(lines, state, ev.AttemptsStarted(clock.now(), (index,), index + 1))
        hear(lines, state, ev.StepSucceeded(clock.now(), index, index + 1, 0.1))
    stream.truncate(0)
    stream.seek(0)
    hear(lines, state, ev.RunHalted(clock.now(), 0, True), ev.AttemptsStarted(clock.now(), (3,), 5, "undo"))
    hear(lines, state, ev.AttemptFailed(clock.now(), 3, 5, Error("undo", "locked"), "stuck"))
    hear(lines, state, ev.StepUndone(clock.now(), 2), ev.StepUndone(clock.now(), 1))
    assert stream.getvalue().splitlines() == ["failed  undo of post#2: locked", "undone  post#1"]


def test_many_calls_are_told_by_node_when_the_run_ends() -> None:
    stream, clock = io.StringIO(), Clock()
    lines, state = make_flow(stream, clock, enrich=Handling())
    for first in (1, 101):
        calls = (Call(tuple(str(number).encode() for number in range(first, first + 100)), "enrich"),)
        hear(lines, state, ev.StepsCalled(clock.now(), 0, calls))
        for index in range(first, first + 100):
            hear(lines, state, ev.AttemptsStarted(clock.now(), (index,), index + 1))
            hear(lines, state, ev.StepSucceeded(clock.now(), index, index + 1, 0.01))
    assert stream.getvalue() == ""
    assert lines.state_in_words(clock.now()).startswith("200 of 201 steps done")
    hear(lines, state, ev.RunEnded(clock.now(), "succeeded"))
    assert stream.getvalue() == "done    enrich  200 steps  2.0 s of work\n"


def test_calls_of_a_flow_are_more_to_do_each_of_them():
    """One record of a hundred calls is a hundred steps; those that are tried again were counted before."""
    plan = Plan(request="f", project="p", steps=[Step("f", "", True, Reason("requested"))], handling={"f": Handling(flow=True)})
    pace = Pace(RunState("r", plan), 2, {}, Instant(0))
    pace.join("task", 100)
    assert (pace.done, pace.total) == (0, 101)
    for _ in range(100):
        pace.see("task", 0.1)
    pace.join("task", 3, again=True)
    assert (pace.done, pace.total) == (97, 101)
