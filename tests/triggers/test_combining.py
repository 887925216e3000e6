"""Combinations: what came is kept for each partition until the trigger fires for it."""

from __future__ import annotations

import legato as lg

days = lg.daily("2026-02-01")


def asset(name, on=None, fn=lambda: 1, **keywords):
    return lg.asset(name=name, on=on, **keywords)(fn)


A, B, C = lg.webhook("a"), lg.webhook("b"), lg.webhook("c")


def lines(stage):
    return [line.removeprefix("03-01 00:00 own").strip() or "fired" for line in stage.told()]


def calls(stage, names):
    for name in names:
        stage.call(name)
    return lines(stage)


def test_all_of_them_since_the_last_firing(play):
    stage = play(asset("own", A & B))
    assert calls(stage, "aa") == ["skipped: condition"] * 2
    assert calls(stage, "b") == ["fired"]
    assert calls(stage, "ba") == ["skipped: condition", "fired"]


def test_a_skip_says_how_far_it_is(play):
    stage = play(asset("own", A & B & C & ~lg.webhook("d")))
    calls(stage, "ad")
    [skipped] = stage.call("b").decisions()
    assert skipped.numbers["came"] == 2
    assert skipped.numbers["of"] == 3
    assert skipped.numbers["waits_for"] == ["webhook c"]
    assert skipped.numbers["against"] == ["webhook d"]


def test_at_least_two_of_three(play):
    stage = play(asset("own", lg.trigger.at_least(2, A, B, C)))
    assert calls(stage, "ac") == ["skipped: condition", "fired"]
    assert calls(stage, "bba") == ["skipped: condition", "skipped: condition", "fired"]


def test_either_of_two_combinations(play):
    stage = play(asset("own", (A & B) | C))
    assert calls(stage, "acab") == ["skipped: condition", "fired", "skipped: condition", "fired"]


def test_not_since_the_tick_before(play):
    stage = play(asset("own", A & ~B))
    assert calls(stage, "a") == ["fired"]
    assert calls(stage, "ba") == ["skipped: condition"]
    assert calls(stage, "a") == ["fired"]
    assert calls(stage, "bb") == []


def test_not_all_of_them(play):
    stage = play(asset("own", C & ~(A & B)))
    assert calls(stage, "acbc") == ["fired", "fired"]
    assert calls(stage, "abc") == ["skipped: condition"]


def test_after_six_and_when_the_input_is_new(play):
    stage = play(asset("base"), asset("own", lg.cron("0 6 * * *") & lg.updated("base")))
    stage.until("2026-03-01T05:00").publish("base").until("2026-03-01T06:00")
    assert stage.told() == ["03-01 05:00 own skipped: condition", "03-01 06:00 own"]
    stage.end_runs().until("2026-03-02T06:00").publish("base")
    assert stage.told() == ["03-02 06:00 own skipped: condition", "03-02 06:00 own"]


def test_if_the_input_is_late_somebody_asks(play):
    ask = lg.flow(name="own", on=lg.cron("0 8 * * *", catch_up="all") & ~lg.updated("base"))(lambda: 1)
    stage = play(asset("base"), ask)
    stage.until("2026-03-01T08:00").publish("base").step("2026-03-02T08:00", "2026-03-03T08:00")
    assert stage.told() == ["03-01 08:00 own", "03-02 08:00 own skipped: condition", "03-03 08:00 own"]


def test_partition_by_partition(play):
    own = asset("own", lg.updated("left", "right"), lambda left, right: 1, partitions=days)
    stage = play(asset("left", partitions=days), asset("right", partitions=days), own)
    stage.publish("left", "2026-02-01", "2026-02-02", "2026-02-03").publish("right", "2026-02-02", "2026-02-05")
    assert stage.told() == ["03-01 00:00 own skipped: condition", "03-01 00:00 own@2026-02-02"]
    assert stage.publish("right", "2026-02-01", "2026-02-02").told() == ["03-01 00:00 own@2026-02-01"]
    assert stage.publish("left", "2026-02-02", "2026-02-05").told() == ["03-01 00:00 own@2026-02-02,2026-02-05"]


def test_the_clock_and_an_input_for_the_same_window(play):
    own = asset("own", lg.cron("0 6 * * *") & lg.updated("base"), lambda base: 1, partitions=days)
    stage = play(asset("base", partitions=days), own)
    stage.publish("base", "2026-01-31", "2026-02-10", "2026-02-28").until("2026-03-01T06:00")
    assert stage.told() == ["03-01 00:00 own skipped: condition", "03-01 06:00 own@2026-02-28"]
    stage.until("2026-03-02T06:00").publish("base", "2026-02-10")
    assert stage.told() == ["03-02 06:00 own skipped: condition", "03-02 06:00 own skipped: condition"]
    assert stage.publish("base", "2026-03-01").told() == ["03-02 06:00 own@2026-03-01"]


def test_a_call_without_a_key_counts_for_every_partition_until_one_fires(play):
    own = asset("own", A & lg.updated("base"), lambda base: 1, partitions=days)
    stage = play(asset("base", partitions=days), own)
    stage.call("a").publish("base", "2026-02-03").publish("base", "2026-02-04")
    assert lines(stage) == ["skipped: condition", "@2026-02-03", "skipped: condition"]
    assert calls(stage, "a") == ["@2026-02-04"]


def test_two_calls_without_a_key_ask_for_the_newest_window(play):
    stage = play(asset("own", A & B, partitions=days))
    assert calls(stage, "ab") == ["skipped: condition", "@2026-02-28"]


def test_missing_and_a_tick_of_the_clock(play):
    stage = play(asset("own", lg.cron("0 6 * * *") & lg.trigger.missing(), partitions=lg.daily("2026-02-27")))
    stage.until("2026-03-01T00:01").publish("own", "2026-02-28").until("2026-03-01T06:00")
    assert stage.told() == ["03-01 00:01 own skipped: condition", "03-01 06:00 own skipped: condition"]
    stage.until("2026-03-02T06:00")
    assert stage.told() == ["03-02 00:00 own skipped: condition", "03-02 06:00 own@2026-03-01"]


def test_only_while_it_is_not_stale(play):
    stage = play(asset("own", A & ~lg.trigger.stale("2h")))
    stage.publish("own").until("2026-03-01T01:00").call("a").until("2026-03-01T02:30").call("a").call("a").publish("own").call(
        "a"
    )
    assert [line.partition("own")[2] for line in stage.told()] == ["", " skipped: condition", " skipped: condition", ""]


def test_a_tick_that_waits_for_its_run_keeps_what_came(play):
    stage = play(asset("own", lg.cron("0 * * * *") & A))
    assert stage.call("a").until("2026-03-01T01:00").told() == ["03-01 00:00 own skipped: condition", "03-01 01:00 own"]
    assert stage.call("a").told() == ["03-01 01:00 own skipped: condition"]
    assert stage.until("2026-03-01T02:00").told() == ["03-01 02:00 own skipped: running"]
    assert stage.end_runs().until("2026-03-01T03:00").told() == ["03-01 03:00 own"]


def test_what_came_with_a_skipped_day_off_does_not_count(play):
    stage = play(asset("own", lg.cron("0 6 * * *", calendar="weekdays") & A))  # 1 March is a Sunday
    assert stage.until("2026-03-01T06:00").told() == ["03-01 06:00 own skipped: calendar"]
    assert stage.call("a").told() == ["03-01 06:00 own skipped: condition"]


def test_parameters_of_all_that_came_are_given(play):
    flow = lg.flow(name="own", on=A.given(x=1) & B.given(y=2) | C.given(z=3))(lambda x=0, y=0, z=0: 1)
    stage = play(flow)
    assert calls(stage, "abc") == ["skipped: condition", "x=1 y=2", "z=3"]


def test_the_same_moment_twice_is_one_moment(play):
    stage = play(asset("own", (A & B) | (A & C)))
    assert calls(stage, "acb") == ["skipped: condition", "fired", "skipped: condition"]
