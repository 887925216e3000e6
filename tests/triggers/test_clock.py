"""clock: every tick of the clock becomes exactly one decision."""

from __future__ import annotations

import pytest

import legato as lg
from legato.triggers.events import TriggerPaused, TriggerResumed

days = lg.daily("2026-02-01", tz="America/New_York")
months = lg.monthly("2026-01-01")


def own(on, **keywords):
    return lg.asset(name="own", on=on, **keywords)(lambda: 1)


def test_a_tick_on_time_is_a_run(play):
    stage = play(own(lg.cron("0 6 * * *")))
    assert stage.until("2026-03-01T05:59:59").told() == []
    [fired] = stage.until("2026-03-01T06:00").decisions()
    assert (fired.key, fired.request.key, fired.request.node) == ("2026-03-01T06:00:00Z", "own/2026-03-01T06:00:00Z", "own")
    assert (fired.numbers["late_us"], fired.moments) == (0, ("every day at 06:00 UTC",))
    assert stage.until("2026-03-01T06:00").told() == []
    assert stage.end_runs().until("2026-03-02T06:00:01").told() == ["03-02 06:00 own"]


def test_a_clock_that_goes_back_decides_nothing_twice(play):
    stage = play(own(lg.cron("0 * * * *", catch_up="all")))
    assert stage.until("2026-03-01T03:30").told() == ["03-01 01:00 own", "03-01 02:00 own", "03-01 03:00 own"]
    assert stage.step("2026-03-01T01:30", "2026-03-01T03:00", "2026-02-20", "2026-03-01T03:59").told() == []
    assert stage.until("2026-03-01T04:00").told() == ["03-01 04:00 own"]


def test_a_clock_that_jumps_ahead_and_back_decides_each_tick_once(play):
    stage = play(own(lg.every("1h", catch_up="all")))
    assert len(stage.until("2026-03-02T00:30").told()) == 24
    assert stage.step("2026-03-01T01:00", "2026-03-01T12:00", "2026-03-02T00:59").told() == []
    assert stage.until("2026-03-02T01:00").told() == ["03-02 01:00 own"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("latest", ["03-03 06:00 own skipped x3: catch-up", "03-04 06:00 own"]),
        ("all", ["03-01 06:00 own", "03-02 06:00 own", "03-03 06:00 own", "03-04 06:00 own"]),
        ("none", ["03-04 06:00 own skipped x4: catch-up"]),
    ],
)
def test_a_stopped_laptop_that_is_opened_after_three_days(play, policy, expected):
    stage = play(own(lg.cron("0 6 * * *", catch_up=policy)))
    assert stage.until("2026-03-04T07:00").told() == expected
    assert stage.end_runs().until("2026-03-05T06:00:30").told() == ["03-05 06:00 own"]


def test_what_comes_a_minute_late_is_on_time(play):
    stage = play(own(lg.cron("0 6 * * *", catch_up="none")))
    assert stage.until("2026-03-01T06:01").told() == ["03-01 06:00 own"]
    assert stage.end_runs().until("2026-03-02T06:01:01").told() == ["03-02 06:00 own skipped: catch-up"]


def test_a_month_of_seconds_is_two_decisions(play):
    stage = play(own(lg.every("1s")))
    skipped, fired = stage.until("2026-04-01").decisions()
    assert (skipped.ticks, skipped.first + 1_000_000 * (skipped.ticks - 1)) == (31 * 86_400 - 1, skipped.at)
    assert skipped.numbers == {"policy": "latest", "stands": fired.at}
    assert fired.at == skipped.at + 1_000_000


def test_a_daily_job_runs_once_where_the_clock_is_changed(play):
    stage = play(own(lg.cron("30 2 * * *", tz="America/New_York", catch_up="all")), at="2026-03-08")
    assert stage.until("2026-03-10").told() == ["03-08 07:00 own", "03-09 06:30 own"]
    stage = play(own(lg.cron("30 1 * * *", tz="America/New_York", catch_up="all")), at="2026-10-31T12:00")
    assert stage.until("2026-11-02T12:00").told() == ["11-01 05:30 own", "11-02 06:30 own"]


def test_days_off_are_skipped_by_name(play):
    stage = play(own(lg.cron("0 6 * * *", tz="America/New_York", calendar="US")), at="2026-09-04T12:00")
    stage.step("2026-09-05T12:00", "2026-09-06T12:00", "2026-09-07T12:00", "2026-09-08T12:00")
    decisions = stage.decisions()
    assert [each.numbers.get("day_off") for each in decisions] == ["Saturday", "Sunday", "Labor Day", None]
    assert decisions[-1].request.node == "own"


def test_the_latest_tick_is_the_latest_business_day(play):
    stage = play(own(lg.cron("0 6 * * *", calendar="weekdays")), at="2026-03-04T12:00")  # a Wednesday
    expected = ["03-07 06:00 own skipped: calendar", "03-08 06:00 own skipped: calendar", "03-05 06:00 own skipped: catch-up"]
    assert stage.until("2026-03-08T12:00").told() == [*expected, "03-06 06:00 own"]


def test_all_ticks_of_a_day_off_are_one_decision(play):
    stage = play(own(lg.every("1h", calendar="weekdays")), at="2026-03-06T23:30")
    assert stage.until("2026-03-09T00:00").told() == [
        "03-07 23:00 own skipped x24: calendar", "03-08 23:00 own skipped x24: calendar", "03-09 00:00 own",
    ]  # fmt: skip


def test_a_tick_while_its_run_goes_on_is_skipped(play):
    stage = play(own(lg.every("10m")))
    assert stage.until("2026-03-01T00:10").told() == ["03-01 00:10 own"]
    [skipped] = stage.until("2026-03-01T00:20").decisions()
    assert (skipped.why, skipped.numbers["run"]) == ("running", "own/2026-03-01T00:10:00Z")
    assert stage.end_runs().until("2026-03-01T00:30").told() == ["03-01 00:30 own"]


def test_with_catch_up_all_every_tick_is_a_run_also_while_one_goes_on(play):
    stage = play(own(lg.every("10m", catch_up="all")))
    assert len(stage.step("2026-03-01T00:10", "2026-03-01T00:20").told()) == 2


def test_another_window_is_no_reason_to_wait(play):
    stage = play(own(lg.cron("0 12 * * *"), partitions=days))
    stage.step("2026-03-01T12:00", "2026-03-02T12:00")
    assert stage.told() == ["03-01 12:00 own@2026-02-28", "03-02 12:00 own@2026-03-01"]


def test_a_paused_trigger_skips_every_tick_and_goes_on_with_what_comes_then(play):
    stage = play(own(lg.cron("0 6 * * *", catch_up="all")))
    stage.pause("own").pause("own").until("2026-03-03T12:00")
    assert stage.told() == ["03-03 06:00 own skipped x3: paused"]
    stage.resume("own").resume("own").until("2026-03-04T12:00")
    assert stage.told() == ["03-04 06:00 own"]
    assert [each.actor for each in stage.events if isinstance(each, TriggerPaused | TriggerResumed)] == ["ada", "ada"]


def test_two_schedules_that_tick_at_once_are_one_run(play):
    stage = play(own(lg.cron("0 6 * * *") | lg.cron("0 */2 * * *")))
    stage.until("2026-03-01T05:00").end_runs().told()
    [fired] = stage.until("2026-03-01T06:00").decisions()
    assert fired.moments == ("every day at 06:00 UTC", "every 2 hours UTC")
    assert stage.end_runs().until("2026-03-01T08:00").told() == ["03-01 08:00 own"]


def test_each_schedule_catches_up_by_its_own_policy(play):
    stage = play(own(lg.cron("0 6 * * *", catch_up="all") | lg.cron("0 12 * * *", catch_up="none")))
    assert stage.until("2026-03-02T18:00").told() == [
        "03-02 12:00 own skipped x2: catch-up", "03-01 06:00 own", "03-02 06:00 own",
    ]  # fmt: skip


def test_start_and_end_bound_the_ticks(play):
    stage = play(own(lg.cron("0 6 * * *", start="2026-03-02", end="2026-03-04", catch_up="all")))
    assert stage.until("2026-03-09").told() == ["03-02 06:00 own", "03-03 06:00 own"]


# -- which partitions --


def test_a_tick_is_about_the_windows_that_ended_since_the_one_before(play):
    stage = play(own(lg.cron("0 6 * * MON", tz="America/New_York"), partitions=days), at="2026-03-07")
    [fired] = stage.until("2026-03-09T12:00").decisions()
    assert fired.request.partitions == tuple(f"2026-03-0{day}" for day in range(2, 9))


def test_a_tick_between_two_windows_is_about_the_newest(play):
    stage = play(own(lg.every("12h", catch_up="all"), partitions=months))
    assert stage.until("2026-03-01T23:00").told() == ["03-01 12:00 own@2026-02"]


def test_windows_of_days_off_are_made_on_the_next_business_day(play):
    stage = play(own(lg.cron("0 6 * * *", tz="America/New_York", calendar="US"), partitions=days), at="2026-09-04T12:00")
    [fired] = [each for each in stage.until("2026-09-08T12:00").decisions() if hasattr(each, "request")]
    assert fired.request.partitions == ("2026-09-04", "2026-09-05", "2026-09-06", "2026-09-07")


def test_where_no_window_is_over_there_is_nothing_to_run(play):
    stage = play(own(lg.cron("0 6 * * *"), partitions=lg.daily("2026-03-02")))
    expected = ["03-01 06:00 own skipped: partition", "03-02 06:00 own skipped: partition", "03-03 06:00 own@2026-03-02"]
    assert stage.step("2026-03-01T12:00", "2026-03-02T12:00", "2026-03-03T12:00").told() == expected


def test_keys_that_are_not_of_time_are_all_meant(play):
    stage = play(own(lg.cron("0 6 * * *"), partitions=lg.static(["EWR", "JFK"])))
    assert stage.until("2026-03-01T06:00").told() == ["03-01 06:00 own@*"]
    both = lg.product(day=days, airport=lg.static(["EWR", "JFK"]), file=lg.dynamic("files"))
    stage = play(own(lg.cron("0 6 * * *"), partitions=both), dynamic={"files": ["a", "b"]})
    [fired] = stage.until("2026-03-01T06:00").decisions()
    assert fired.request.partitions == tuple(f"2026-02-28|{port}|{file}" for port in ("EWR", "JFK") for file in "ab")


# -- states of the node --


def test_what_is_older_than_it_may_be_is_made_again(play):
    stage = play(own(lg.trigger.stale("2h")))
    stage.until("2026-03-01T01:00").publish("own").until("2026-03-01T02:59")
    assert stage.told() == []
    [fired] = stage.until("2026-03-01T03:00").decisions()
    assert (fired.key, fired.moments) == ("stale:2026-03-01T03:00:00Z", ("older than 2 hours",))
    assert stage.until("2026-03-01T04:59").told() == []
    assert stage.until("2026-03-01T05:00").told() == ["03-01 05:00 own skipped: running"]
    assert stage.end_runs().until("2026-03-01T07:00").told() == ["03-01 07:00 own"]
    stage.end_runs().until("2026-03-01T08:00").publish("own")
    assert stage.until("2026-03-01T09:30").told() == []
    assert stage.until("2026-03-01T10:00").told() == ["03-01 10:00 own"]


def test_days_of_staleness_are_one_tick(play):
    stage = play(own(lg.trigger.stale("2h")))
    assert stage.until("2026-03-05").told() == ["03-01 02:00 own"]


def test_what_was_never_made_is_made_at_once(play):
    stage = play(own(lg.trigger.missing()))
    assert stage.until("2026-03-01T00:00:01").told() == ["03-01 00:00 own"]
    assert stage.step("2026-03-02", "2026-03-03").told() == []


def test_what_is_there_is_not_missing(play):
    stage = play(own(lg.trigger.missing()))
    stage.publish("own")
    assert stage.until("2026-03-02").told() == []


def test_a_window_that_ends_is_missing(play):
    stage = play(own(lg.trigger.missing(), partitions=lg.daily("2026-02-27")))
    assert stage.until("2026-03-01T00:00:01").told() == ["03-01 00:00 own@2026-02-27,2026-02-28"]
    stage.publish("own", "2026-02-27")
    assert stage.until("2026-03-02").told() == ["03-02 00:00 own@2026-03-01"]
    assert stage.until("2026-03-05T01:00").told() == ["03-05 00:00 own@2026-03-02,2026-03-03,2026-03-04"]
    assert stage.until("2026-03-05T02:00").told() == []


def test_a_key_that_is_added_is_missing(play):
    stage = play(own(lg.trigger.missing(), partitions=lg.dynamic("files")), dynamic={"files": ["a"]})
    assert stage.until("2026-03-01T00:00:01").told() == ["03-01 00:00 own@a"]
    assert stage.add("files", "b", "c").told() == ["03-01 00:00 own@b,c"]
    stage.publish("own", "a", "b", "c")
    assert stage.until("2026-03-02").told() == []


def test_keep_fresh_makes_what_is_new_missing_or_old(play):
    base = lg.asset(name="base")(lambda: 1)
    node = lg.asset(name="own", on=lg.keep_fresh("2h"))(lambda base: 1)
    stage = play(base, node)
    assert stage.until("2026-03-01T00:01").told() == ["03-01 00:01 own"]
    stage.end_runs().publish("own")
    assert stage.publish("base").told() == ["03-01 00:01 own"]
    assert stage.end_runs().until("2026-03-01T02:01").told() == ["03-01 02:01 own"]


# -- what flows are given --


def test_a_flow_is_given_its_parameters_and_the_tick(play):
    nightly = lg.cron("0 6 * * *").given(region="EU") | lg.cron("0 7 * * *").given(region="US")
    stage = play(lg.flow(name="own", on=nightly)(lambda region, tick="": 1))
    stage.until("2026-03-01T06:30").end_runs().until("2026-03-01T07:30")
    assert stage.told() == [
        "03-01 06:00 own region=EU tick=2026-03-01T06:00:00Z", "03-01 07:00 own region=US tick=2026-03-01T07:00:00Z",
    ]  # fmt: skip
