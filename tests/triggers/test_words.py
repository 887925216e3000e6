"""Triggers, decisions and ticks to come, in words."""

from __future__ import annotations

import pytest
from stage import Stage, frozen, instant

import legato as lg
from legato.triggers.events import Fired, RunRequest, Skipped
from legato.triggers.phrases import cron_in_words
from legato.triggers.upcoming import next_of_project, next_ticks
from legato.triggers.words import describe, explain, in_units


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 6 * * *", "every day at 06:00"),
        ("30 6,18 * * *", "every day at 06:30 and 18:30"),
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("@hourly", "every hour"),
        ("5,20 * * * *", "every hour at :05 and :20"),
        ("*/15 * * * MON-FRI", "every 15 minutes, on Monday to Friday"),
        ("0 */2 * * *", "every 2 hours"),
        ("30 */6 * * *", "every 6 hours at :30"),
        ("*/10 9-17 * * 1-5", "every 10 minutes from 09:00 to 17:59, on Monday to Friday"),
        ("0 9-17 * * *", "every hour from 09:00 to 17:59"),
        ("0 0 1,15 * *", "on day 1 and 15 of the month at 00:00"),
        ("0 0 L * *", "on the last day of the month at 00:00"),
        ("0 0 LW 3,6 *", "on the last weekday of the month in March and June at 00:00"),
        ("30 9 * * MON#2", "on the second Monday of the month at 09:30"),
        ("30 9 * * FRIL", "on the last Friday of the month at 09:30"),
        ("0 0 * * 0", "on Sunday at 00:00"),
        ("0 0 * * SAT,SUN", "on Saturday and Sunday at 00:00"),
        ("0 0 13 * FRI", "on day 13 of the month or on Friday at 00:00"),
        ("0 0 */9 * FRI", "on day 1, 10, 19 and 28 of the month if it is also on Friday at 00:00"),
        ("1,2,4,8,16 3,5,7 * * *", "cron 1,2,4,8,16 3,5,7 * * *"),
    ],
)  # fmt: skip
def test_crons_in_words(expression, words):
    assert cron_in_words(expression) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "second"),
        (60, "minute"),
        (900, "15 minutes"),
        (5400, "1 hour 30 minutes"),
        (86_400, "day"),
        (90_061, "1 day 1 hour 1 minute 1 second"),
    ],
)
def test_spans_in_units(seconds, words):
    assert in_units(seconds) == words


NIGHTLY = lg.cron("0 6 * * *", tz="America/New_York")
ROWS = lg.trigger.metric("rows", "base", above=0.5, below=0.1)
MORNING = instant("2026-03-01")


@pytest.mark.parametrize(
    ("on", "words"),
    [
        (NIGHTLY, "every day at 06:00 America/New_York, catch-up latest"),
        (
            lg.cron("0 6 * * *", calendar="US", catch_up="all", start="2026-01-01"),
            "every day at 06:00 UTC, business days US, from 2026-01-01T00:00:00+00:00, catch-up all",
        ),
        (
            lg.cron("0 6 * * *", calendar="US", business_day=3),
            "on the third business day of the month at 06:00 UTC (US), catch-up latest",
        ),
        (
            lg.cron("0 6 * * *", calendar="US", business_day=-1),
            "on the last business day of the month at 06:00 UTC (US), catch-up latest",
        ),
        (lg.every("15m", calendar="weekdays"), "every 15 minutes, Monday to Friday, catch-up latest"),
        (lg.updated("base"), "new version of base"),
        (lg.file("in/*.csv") | lg.webhook("orders"), "file in/*.csv or webhook orders"),
        (NIGHTLY & ~lg.updated("base"), "every day at 06:00 America/New_York, catch-up latest and not new version of base"),
        ((lg.message("mail") | lg.webhook("go")) & lg.updated("base"), "(message on mail or webhook go) and new version of base"),
        (
            lg.trigger.at_least(2, lg.message("mail"), lg.trigger.failed("base"), ROWS),
            "at least 2 of: message on mail; failure of base; rows of base above 0.5 or below 0.1",
        ),
        (lg.trigger.changed("code"), "code changed"),
        (lg.keep_fresh("2h"), "new version of base or never made or older than 2 hours"),
    ],
)  # fmt: skip
def test_triggers_in_words(on, words):
    base = lg.asset(name="base")(lambda: 1)
    project = frozen(base, lg.asset(name="own", on=on)(lambda base: 1))
    assert describe(project.nodes["own"].trigger) == words


def test_parameters_are_part_of_the_words():
    on = lg.webhook("go").given(region="EU") | lg.every("1d").given(n=2)
    project = frozen(lg.flow(name="own", on=on)(lambda region="", n=0: 1))
    assert describe(project.nodes["own"].trigger) == "webhook go, with region='EU' or every day, catch-up latest, with n=2"


def test_decisions_as_sentences():
    days = lg.daily("2026-02-01")
    on = lg.cron("0 6 * * *", calendar="weekdays") & lg.updated("base")
    base, own = lg.asset(name="base", partitions=days)(lambda: 1), lg.asset(name="own", on=on, partitions=days)(lambda base: 1)
    stage = Stage(base, own, at="2026-03-06")
    stage.until("2026-03-06T06:00:03").publish("base", "2026-03-05").until("2026-03-09T06:00").pause("own")
    stage.until("2026-03-11T12:00")
    daily = "every day at 06:00 UTC, Monday to Friday"
    waits = "but 1 of 2 came so far, it waits for new version of base"
    assert [explain(each).replace(" +0000", "") for each in stage.decisions()] == [
        f"skipped at 2026-03-06 06:00: {daily}, {waits}",
        "fired at 2026-03-06 06:00:03: new version of base; asked for own@2026-03-05",
        f"skipped at 2026-03-07 06:00: {daily}, but it is Saturday",
        f"skipped at 2026-03-08 06:00: {daily}, but it is Sunday",
        f"skipped at 2026-03-09 06:00: {daily}, {waits}",
        f"skipped 2 ticks from 2026-03-10 06:00 to 2026-03-11 06:00: {daily}, but the trigger is paused",
    ]


def test_catch_up_and_lateness_are_told():
    stage = Stage(lg.asset(name="own", on=NIGHTLY)(lambda: 1), at="2026-10-31T12:00")
    skipped, fired = stage.until("2026-11-02T11:00:30").decisions()
    assert explain(skipped, "America/New_York") == (
        "skipped at 2026-11-01 06:00 -0500: every day at 06:00 America/New_York,"
        " but the tick at 2026-11-02 06:00 -0500 stands for it (catch-up latest)"
    )
    assert explain(fired, "America/New_York") == (
        "fired at 2026-11-02 06:00 -0500, decided 30 seconds later: every day at 06:00 America/New_York; asked for own"
    )
    again = stage.until("2026-11-03T12:00").decisions()[0]
    assert explain(again).endswith("but the run before is not over (own/2026-11-02T11:00:00Z)")
    late = Stage(lg.asset(name="own", on=lg.every("1h", catch_up="none"))(lambda: 1))
    assert explain(late.until("2026-03-01T02:30").decisions()[0]).endswith(
        "but it came to be decided only at 2026-03-01 02:30 +0000 (catch-up none)"
    )


def test_events_are_told_with_what_is_known_of_them():
    base, files = lg.asset(name="base")(lambda: 1), lg.dynamic("files")
    watch = lg.trigger.metric("rows", base, below=5) | lg.trigger.failed(base) | lg.webhook("go")
    own = lg.asset(name="own", on=watch | lg.file("in/*") & ~lg.updated(base), partitions=files)(lambda: 1)
    stage = Stage(base, own, dynamic={"files": ["a"]})
    stage.measure("base", "rows", 3).measure("base", "rows", 7).fail("base").call("go", id="c1", own="k1").file("in/a")
    stage.file("in/a@").publish("base").file("in/c")
    assert [explain(each).replace(" at 2026-03-01 00:00 +0000", "") for each in stage.decisions()] == [
        "fired: rows of base below 5 (3); asked for all of own",
        "skipped: rows of base below 5 (7), but 7 is within its bounds",
        "fired: failure of base (run 5w2k8m-4zq1); asked for all of own",
        "fired: webhook go (c1); asked for own@k1",
        "fired: file in/* (in/a, 10 bytes); asked for own@a",
        "skipped: file in/* (in/a@, 10 bytes), but there is no partition for it: 'a@' cannot be a partition key: it contains '@'",
        "skipped: file in/* (in/c, 10 bytes), but there was new version of base",
    ]


def test_many_partitions_are_summed_up():
    request = RunRequest(key="own/x", node="own", partitions=("a", "b", "c", "d"), params={"x": 1})
    fired = Fired(trigger="own", key="x", at=MORNING, on=MORNING, moments=("webhook go",), request=request)
    assert explain(fired).endswith("asked for 4 partitions of own, a to d with x")


def test_what_to_come_is_listed_with_offsets_and_marks():
    nightly = lg.cron("30 1 * * *", tz="America/New_York", calendar="weekdays")
    project = frozen(
        lg.asset(name="own", on=nightly)(lambda: 1),
        lg.asset(name="other", on=lg.cron("30 * * * *", tz="America/New_York") & lg.webhook("go"))(lambda: 1),
        lg.asset(name="late", on=lg.cron("30 2 * * *", tz="Europe/Berlin") & ~lg.cron("@daily"))(lambda: 1),
    )
    coming = list(next_of_project(project, instant("2026-11-01T00:45-04:00"), instant("2026-11-01T02:00-05:00")))
    assert [(each.node, each.local, each.offset, each.note) for each in coming] == [
        ("other", "2026-11-01 01:30", "-0400", "the clock shows this time twice: the first pass"),
        ("own", "2026-11-01 01:30", "-0400", "the clock shows this time twice: the first pass; skipped: Sunday"),
        ("other", "2026-11-01 01:30", "-0500", "the clock shows this time twice: the second pass"),
    ]
    [gap] = next_ticks(project.nodes["late"].trigger, instant("2026-03-28T12:00"), instant("2026-03-29T12:00"))
    assert (gap.local, gap.offset, gap.moment) == ("2026-03-29 03:00", "+0200", "every day at 02:30 Europe/Berlin")
    assert gap.note == "the clock skips its time: it runs at the end of the gap"


def test_a_week_of_every_clock_is_in_order():
    on = lg.every("7h") | lg.cron("@daily", tz="Asia/Kolkata") | lg.cron("0 */5 * * *", tz="Asia/Tokyo")
    project = frozen(lg.asset(name="own", on=on)(lambda: 1))
    coming = list(next_of_project(project, instant("2026-03-01"), instant("2026-03-08")))
    assert coming == sorted(coming)
    assert len(coming) == 24 + 7 + 35
    assert {each.offset for each in coming} == {"+0000", "+0530", "+0900"}


def test_an_asset_partition_that_is_skipped_has_its_reason():
    skipped = Skipped(
        trigger="own", key="x", at=MORNING, first=MORNING, on=MORNING, why="partition", moments=("x",)
    )  # fmt: skip
    assert explain(skipped).endswith("but there is no partition for it")
