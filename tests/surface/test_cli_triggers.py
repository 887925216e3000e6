"""Triggers on the command line: what they wait for, what was decided of them, and letting them stand still; without a service."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cli_site import legato, make_project, records, steady

import legato.surfaces.cli.main as cli
from legato.ports.decisions import Decided, Ticking
from legato.runtime.clock import SystemClock
from legato.service.asks import ASKS
from legato.service.desk import Desk
from legato.service.inbox import Inbox
from legato.service.pausing import ask_to_pause
from legato.service.ticks import list_coming, list_triggers
from legato.service.workspace import Workspace
from legato.terms.codec import pack
from legato.terms.instant import Instant, from_datetime
from legato.triggers.events import Fired, RunRequest, Skipped
from legato.triggers.inputs import Pause, Resume
from legato.triggers.state import Kept
from legato.wiring.code import open_workspace

PIPELINE = """\
import legato as lg

customers = lg.dynamic("customers")
NEW_YORK = {"tz": "America/New_York"}


@lg.asset(on=lg.cron("30 2 * * *", **NEW_YORK, calendar="weekdays"), tags=["daily"])
def orders() -> int:
    return 1


@lg.asset(partitions=customers, on=lg.updated())
def bills(customer: lg.Partition, orders: int) -> int:
    return orders


@lg.asset(on=lg.keep_fresh("2h"))
def prices() -> int:
    return 2


@lg.flow(on=lg.cron("0 8 * * *") & ~lg.updated(orders))
def ask_for_orders() -> None: ...


@lg.flow
def by_hand() -> None: ...
"""
DAILY = "every day at 02:30 America/New_York, Monday to Friday"


def instant(text: str) -> Instant:
    return from_datetime(datetime.fromisoformat(text))


class At(SystemClock):
    """A clock that stands at one instant."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def now(self) -> Instant:
        return instant(self.text)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_project(tmp_path, PIPELINE)


def ask(site: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The result, or the error, of a command with --json."""
    code = cli.call(["-C", str(site), *words, "--json"])
    [record] = records(capsys.readouterr().out)
    return record["result"] if record["ok"] else record["error"] | {"exit": code}


def at(site: Path, text: str) -> Workspace:
    """The project at a time of the world."""
    workspace = open_workspace(site)
    object.__setattr__(workspace, "clock", At(text))
    return workspace


def fired(key: str, text: str, **numbers: Any) -> Fired:
    when = instant(text)
    request = RunRequest(key=f"orders/{key}", node="orders", partitions=("",))
    return Fired(trigger="orders", key=key, at=when, on=when, moments=(DAILY,), numbers=numbers, request=request, timed=True)


def skipped(key: str, why: Any, text: str, **more: Any) -> Skipped:
    when = instant(text)
    fields = {"trigger": "orders", "first": when, "timed": True, **more}
    return Skipped(key=key, at=when, on=when, why=why, moments=(DAILY,), **fields)


def record(site: Path, *decided: tuple[Fired | Skipped, str], kept: tuple[Kept, ...] = ()) -> None:
    """What a service would have recorded: decisions, each with the note of a run that cannot be, and what is kept."""
    store = open_workspace(site).open_writer("legato up")
    bodies = [
        Decided(trigger=each.trigger, key=each.key, body=pack(each), waits=isinstance(each, Fired)) for each, _ in decided
    ]  # fmt: skip
    store.tick(Ticking(decided=bodies, kept={each.trigger: pack(each) for each in kept}))
    for each, note in decided:
        if note:
            store.give_up(each.trigger, each.key, note)
    store.close()


# -- what there is --


def test_triggers_are_told_in_words_before_anything_ran(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {each["name"]: each for each in ask(site, capsys, "triggers")}
    assert {name: each["trigger"] for name, each in found.items()} == {
        "orders": f"{DAILY}, catch-up latest",
        "bills": "new version of orders",
        "prices": "never made or older than 2 hours",
        "ask_for_orders": "every day at 08:00 UTC, catch-up latest and not new version of orders",
    }
    assert found["orders"]["due"]["moment"] == DAILY
    assert found["bills"]["due"] is None
    assert not any(each["paused"] or each["overdue"] or each["asked"] or each["last"] for each in found.values())
    assert not (site / ".legato").exists()


def test_a_selection_chooses_triggers_also_where_there_are_no_partitions_yet(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [each["name"] for each in ask(site, capsys, "triggers", "tag:daily")] == ["orders"]
    assert [each["name"] for each in ask(site, capsys, "triggers", "bills")] == ["bills"]
    assert [each["name"] for each in ask(site, capsys, "triggers", "kind:flow")] == ["ask_for_orders"]
    assert ask(site, capsys, "triggers", "nothing_*")["code"] == "selection"
    assert legato(site, "triggers", "by_hand").stdout == "nothing here runs by itself\n"


def test_list_and_show_say_when_a_node_runs(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {each["name"]: each["trigger"] for each in ask(site, capsys, "list")}["bills"] == "new version of orders"
    assert ask(site, capsys, "show", "by_hand")["trigger"] == ""
    assert f"  runs  {DAILY}, catch-up latest" in steady(legato(site, "show", "orders").stdout)


def test_what_nobody_decided_in_time_is_overdue(site: Path) -> None:
    record(site, kept=(Kept(trigger="orders", until=instant("2026-03-03T12:00Z"), stale_from=Instant(0)),))
    workspace = at(site, "2026-03-05T12:00Z")
    line = list_triggers(workspace, workspace.open_reader(), "orders")[0]
    assert line.overdue
    assert line.due is not None
    assert (line.due.local, line.due.offset) == ("2026-03-04 02:30", "-0500")
    line = list_triggers(at(site, "2026-03-04T06:00Z"), workspace.open_reader(), "orders")[0]
    assert not line.overdue


def test_an_asset_is_due_when_it_grows_too_old(site: Path) -> None:
    record(site, kept=(Kept(trigger="prices", until=instant("2026-03-03T12:00Z"), stale_from=instant("2026-03-03T11:00Z")),))
    workspace = at(site, "2026-03-03T12:30Z")
    [line] = list_triggers(workspace, workspace.open_reader(), "prices")
    assert line.due is not None
    assert (line.due.moment, line.due.local, line.due.offset) == ("older than 2 hours", "2026-03-03 13:00", "+0000")


# -- what will come --


def test_ticks_are_told_on_their_own_clock_with_what_is_odd(site: Path) -> None:
    found = list_coming(at(site, "2026-03-06T00:00Z"), None, "orders", days=4)
    assert [(each.local, each.offset, each.mark, each.note) for each in found.ticks] == [
        ("2026-03-06 02:30", "-0500", "", ""),
        ("2026-03-07 02:30", "-0500", "", "skipped: Saturday"),
        ("2026-03-08 03:00", "-0400", "gap", "the clock skips its time: it runs at the end of the gap; skipped: Sunday"),
        ("2026-03-09 02:30", "-0400", "", ""),
    ]
    assert not found.more
    assert found.untimed == {}


def test_ticks_of_all_triggers_come_in_order_and_no_more_than_asked_for(site: Path) -> None:
    record(site, kept=(Kept(trigger="orders", until=Instant(0), stale_from=Instant(0), paused=True),))
    workspace = at(site, "2026-03-06T00:00Z")
    found = list_coming(workspace, workspace.open_reader(), days=7, limit=3)
    assert [(each.trigger, each.note) for each in found.ticks] == [
        ("orders", "skipped: the trigger is paused"),
        ("ask_for_orders", "fires if the rest of its trigger holds"),
        ("orders", "skipped: Saturday; skipped: the trigger is paused"),
    ]
    assert found.more
    assert found.untimed == {"bills": "new version of orders", "prices": "never made or older than 2 hours"}


def test_a_trigger_without_a_clock_says_what_it_waits_for(site: Path) -> None:
    told = legato(site, "next", "bills").stdout
    assert told == "the clock brings nothing in the next 7 days\nbills has no clock: new version of orders\n"


# -- what was decided --


def test_decisions_say_what_came_of_each_tick(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    latest = instant("2026-03-05T07:30Z")
    record(
        site,
        (fired("a", "2026-03-02T07:30Z"), "policy freeze forbids it"),
        (skipped("b", "catch-up", "2026-03-04T07:30Z", ticks=2, first=instant("2026-03-03T07:30Z"),
                 numbers={"policy": "latest", "stands": latest}), ""),
        (fired("c", "2026-03-05T07:30Z", late_us=90_000_000), ""),
    )  # fmt: skip
    page = ask(site, capsys, "decisions", "orders")
    assert page["older"] == 0
    newest, middle, oldest = page["decisions"]
    assert (newest["outcome"], newest["waits"], newest["run"]) == ("fired", True, "")
    sentence = f"fired at 2026-03-05 02:30 -0500, decided 1 minute 30 seconds later: {DAILY}; asked for orders"
    assert newest["sentence"] == sentence
    assert (middle["outcome"], middle["why"], middle["ticks"], middle["first"]) == (
        "skipped", "catch-up", 2, "2026-03-03T07:30:00Z",
    )  # fmt: skip
    assert middle["numbers"] == {"policy": "latest", "stands": "2026-03-05T07:30:00Z"}
    assert "the tick at 2026-03-05 02:30 -0500 stands for it" in middle["sentence"]
    assert (oldest["waits"], oldest["note"]) == (False, "policy freeze forbids it")
    told = steady(legato(site, "decisions").stdout).splitlines()
    assert told[1] == f"TIME  orders  waits  {sentence}"
    assert told[3].endswith("; it never became a run: policy freeze forbids it")
    assert legato(site, "triggers", "orders").stdout.splitlines()[1].endswith(sentence)


def test_decisions_are_paged_by_number(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(site, *((skipped(f"k{day}", "paused", f"2026-03-0{day}T07:30Z"), "") for day in range(1, 6)))
    first = ask(site, capsys, "decisions", "--limit", "2")
    assert [each["key"] for each in first["decisions"]] == ["k5", "k4"]
    rest = ask(site, capsys, "decisions", "orders", "--limit", "3", "--before", str(first["older"]))
    assert ([each["key"] for each in rest["decisions"]], rest["older"]) == (["k3", "k2", "k1"], 0)
    last = legato(site, "decisions", "orders", "--limit", "2").stdout.splitlines()[-1]
    assert last == f"older ones: legato decisions orders --before {first['older']} --limit 2"


def test_a_firing_names_the_run_that_it_became(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert legato(site, "run", "orders").returncode == 0
    [run] = ask(site, capsys, "runs")
    store = open_workspace(site).open_writer("legato up")
    store.tick(Ticking(decided=[Decided(trigger="orders", key="a", body=pack(fired("a", "2026-03-02T07:30Z")), run=run["id"])]))
    store.close()
    [line] = ask(site, capsys, "decisions")["decisions"]
    assert (line["run"], line["state"]) == (run["id"], "succeeded")
    assert steady(legato(site, "decisions").stdout).splitlines()[1].startswith("TIME  orders  RUN succeeded  fired at")


def test_decisions_outlive_their_trigger_and_what_never_was_is_told(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(site, (skipped("a", "paused", "2026-03-02T07:30Z", trigger="gone"), ""))
    assert [each["trigger"] for each in ask(site, capsys, "decisions", "gone")["decisions"]] == ["gone"]
    assert "2026-03-02 07:30 +0000" in ask(site, capsys, "decisions")["decisions"][0]["sentence"]
    assert legato(site, "decisions", "orders").stdout == "nothing was decided of orders yet\n"
    assert (ask(site, capsys, "decisions", "never")["code"], ask(site, capsys, "decisions", "by_hand")["code"]) == (
        "asset", "trigger",
    )  # fmt: skip


def test_what_a_file_is_called_moves_no_cursor(site: Path) -> None:
    path = "inbox/\x1b[2J\n.csv"
    record(site, (fired("a", "2026-03-02T07:30Z", path=path, size_bytes=3), ""))
    told = legato(site, "decisions").stdout
    assert "\x1b" not in told
    assert len(told.splitlines()) == 2


# -- standing still --


def test_a_pause_waits_for_the_service_where_none_runs(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = legato(site, "pause", "orders").stdout
    assert told == (
        "orders: no service runs; the request to pause it waits for the next legato up\n"
        "  from then on: what comes is skipped for good, until legato unpause orders\n"
    )
    again = ask(site, capsys, "pause", "orders")
    assert (again["heard"], again["request"]) == (False, "")
    assert ask(site, capsys, "triggers", "orders")[0]["asked"] == "pause"
    assert "pause waits for `legato up`" in legato(site, "triggers").stdout
    assert ask(site, capsys, "unpause", "orders")["request"]
    assert [type(each) for each in Inbox(site / ".legato" / "inbox").read_pausings()] == [Pause, Resume]


def test_what_is_so_already_leaves_no_request(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(site, capsys, "unpause", "orders") | {"actor": ""} == {
        "name": "orders", "trigger": f"{DAILY}, catch-up latest", "paused": False, "heard": True, "request": "", "actor": "",
    }  # fmt: skip
    record(site, kept=(Kept(trigger="orders", until=Instant(0), stale_from=Instant(0), paused=True),))
    assert legato(site, "pause", "orders").stdout == (
        "orders is paused: what comes is skipped for good, until legato unpause orders\n"
    )
    assert steady(legato(site, "triggers", "orders").stdout).splitlines()[1].split("  ")[2] == "paused"
    assert not (site / ".legato" / "inbox").exists()


def test_a_service_that_runs_is_waited_for(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The service is played by a thread: it takes the request up, records it, and settles it."""
    workspace, ended, open = open_workspace(site), threading.Event(), threading.Event()

    def serve() -> None:
        store, inbox = workspace.open_writer("legato up"), Inbox(workspace.inbox)
        desk = Desk(workspace.state, lambda: None, ASKS)
        open.set()
        while not ended.wait(0.01):
            for asked in inbox.read_pausings():
                kept = Kept(trigger=asked.trigger, until=Instant(0), stale_from=Instant(0), paused=isinstance(asked, Pause))
                store.tick(Ticking(kept={asked.trigger: pack(kept)}))
            inbox.settle_pausings()
        desk.close()
        store.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert open.wait(60)
        assert ask(site, capsys, "pause", "orders")["heard"]
        assert ask(site, capsys, "triggers", "orders")[0]["paused"]
        assert ask(site, capsys, "unpause", "orders")["heard"]
        assert not ask(site, capsys, "triggers", "orders")[0]["paused"]
    finally:
        ended.set()
        thread.join()


def test_only_a_trigger_can_be_paused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = ask(site, capsys, "pause", "by_hand")
    assert (error["code"], error["exit"], error["next"]) == ("trigger", 3, "legato triggers")
    assert ask(site, capsys, "pause", "order")["code"] == "asset"


def test_who_asks_is_known_to_the_service(site: Path) -> None:
    workspace = open_workspace(site)
    found = ask_to_pause(workspace, None, "orders", paused=True)
    [asked] = Inbox(workspace.inbox).read_pausings()
    assert asked == Pause("orders", found.actor)
