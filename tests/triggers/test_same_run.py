"""A new version whose run is about to make more: triggers leave that to the run, and take over what it leaves undone."""

from __future__ import annotations

import legato as lg
from legato.triggers.words import explain

days = lg.daily("2026-02-01")
months = lg.monthly("2026-01-01")
R = "5w2k8m-4zq1"


def asset(name, on=None, fn=lambda: 1, **keywords):
    return lg.asset(name=name, on=on, **keywords)(fn)


def own(on, **keywords):
    return asset("own", on, lambda base: 1, **keywords)


def test_what_the_run_makes_itself_is_left_to_it(play):
    stage = play(asset("base"), own(lg.updated()))
    stage.publish("base", run=R, ahead={"own": {""}})
    [skipped] = stage.decisions()
    assert skipped.numbers["run"] == R
    assert explain(skipped).endswith(f": new version of base, but run {R}, which made it, makes own too")
    assert stage.made(R, "own").over(R).told() == []
    assert stage.publish("base").told() == ["03-01 00:00 own"]


def test_what_the_run_does_not_make_is_asked_for(play):
    stage = play(asset("base"), own(lg.updated()), asset("third"))
    assert stage.publish("base", run=R, ahead={"third": {""}}).told() == ["03-01 00:00 own"]
    assert stage.over(R).told() == []


def test_what_the_run_leaves_unmade_is_asked_for_when_it_is_over(play):
    stage = play(asset("base"), own(lg.updated()))
    stage.publish("base", run=R, ahead={"own": {""}})
    assert stage.over("5w2k8m-other").told() == ["03-01 00:00 own skipped: same-run"]
    [fired] = stage.over(R).decisions()
    assert explain(fired) == (
        "fired at 2026-03-01 00:00 +0000: new version of base"
        f" (run {R}, which made it, ended before this was made); asked for own"
    )
    assert stage.over(R).told() == []


def test_what_the_run_takes_back_is_nothing_new(play):
    stage = play(asset("base"), own(lg.updated()))
    stage.publish("base", run=R, ahead={"own": {""}}).over(R, undone=True)
    _, skipped = stage.decisions()
    assert skipped.why == "same-run"
    assert explain(skipped).endswith("ended before this was made), but the run has taken back what it published")


def test_what_others_published_comes_though_the_run_takes_its_own_back(play):
    stage = play(asset("base"), asset("more"), asset("own", lg.updated(), lambda base, more: 1))
    stage.publish("more").publish("base", run=R, ahead={"own": {""}}).over(R, undone=True)
    assert stage.told()[2:] == ["03-01 00:00 own"]


def test_a_run_that_is_resumed_and_over_again_is_asked_about_again(play):
    stage = play(asset("base"), own(lg.updated()))
    for _ in range(2):
        stage.publish("base", run=R, ahead={"own": {""}}).over(R)
    assert stage.told() == ["03-01 00:00 own skipped: same-run", "03-01 00:00 own"] * 2


def test_other_partitions_of_the_same_firing_fire(play):
    stage = play(asset("base", partitions=days), own(lg.updated(), partitions=days, deps={"base": lg.look_back(3)}))
    stage.publish("base", "2026-02-03", run=R, ahead={"own": {"2026-02-04", "2026-02-09"}})
    [fired] = stage.decisions()
    assert fired.request.partitions == ("2026-02-03", "2026-02-05")
    assert explain(fired).endswith(
        f"; asked for own@2026-02-03,2026-02-05; run {R}, which made it, makes own@2026-02-04 too"
    )  # fmt: skip
    assert stage.over(R).told() == ["03-01 00:00 own@2026-02-04"]


def test_partitions_are_made_one_by_one(play):
    stage = play(asset("base", partitions=days), own(lg.updated(), partitions=days))
    names = {f"2026-02-0{day}" for day in range(1, 5)}
    for name in sorted(names):
        stage.publish("base", name, run=R, ahead={"own": names})
    stage.made(R, "own", "2026-02-02").made(R, "own", "2026-02-03").made("other", "own", "2026-02-04")
    assert stage.told() == ["03-01 00:00 own skipped: same-run"] * 4
    assert stage.over(R).told() == ["03-01 00:00 own@2026-02-01,2026-02-04"]


def test_all_that_there_is_but_what_the_run_makes(play):
    letters = lg.static(["a", "b", "c"])
    stage = play(asset("base"), own(lg.updated(), partitions=letters))
    assert stage.publish("base", run=R, ahead={"own": {"b"}}).told() == ["03-01 00:00 own@a,c"]
    assert stage.publish("base", run=R, ahead={"own": {"a", "b", "c", "gone"}}).told() == ["03-01 00:00 own skipped: same-run"]
    assert stage.over(R).told() == ["03-01 00:00 own@a,b,c"]


def test_many_days_of_one_month_are_left_to_the_run_once(play):
    stage = play(asset("base", partitions=days), own(lg.updated(), partitions=months))
    stage.publish("base", "2026-02-03", run=R, ahead={"own": {"2026-02"}})
    stage.publish("base", "2026-02-04", run=R, ahead={"own": {"2026-02"}}).made(R, "own", "2026-02")
    assert stage.publish("base", "2026-02-05", run=R).over(R).told()[2:] == ["03-01 00:00 own@2026-02"]


def test_any_of_several_versions_is_left_to_the_run_and_asked_for_once(play):
    both = asset("own", lg.updated(any=True), lambda base, more: 1)
    stage = play(asset("base"), asset("more"), both)
    stage.publish("base", run=R, ahead={"own": {""}}).publish("more", run=R, ahead={"own": {""}})
    assert stage.told() == ["03-01 00:00 own skipped: same-run"] * 2
    [fired] = stage.over(R).decisions()
    assert fired.moments == ("new version of base", "new version of more")


def test_all_of_several_versions_come_with_the_run(play):
    both = asset("own", lg.updated(), lambda base, more: 1)
    stage = play(asset("base"), asset("more"), both)
    stage.publish("base", run=R, ahead={"own": {""}}).publish("more", run=R, ahead={"own": {""}}).made(R, "own").over(R)
    assert stage.told() == ["03-01 00:00 own skipped: same-run"] * 2
    assert stage.publish("more").told() == ["03-01 00:00 own skipped: condition"]
    assert stage.publish("base").told() == ["03-01 00:00 own"]


def test_what_came_before_is_used_up_by_the_run_as_by_a_firing(play):
    stage = play(asset("base", partitions=days), own(lg.cron("0 6 * * *") & lg.updated(), partitions=days))
    stage.publish("base", "2026-02-28").publish("base", "2026-02-27")
    stage.publish("base", "2026-02-28", run=R, ahead={"own": {"2026-02-28"}}).made(R, "own", "2026-02-28").over(R)
    assert stage.told() == ["03-01 00:00 own skipped: condition"] * 2 + ["03-01 00:00 own skipped: same-run"]
    assert stage.until("2026-03-01T06:00").told() == ["03-01 06:00 own skipped: condition"]


def test_what_came_before_comes_again_if_the_run_leaves_it_unmade(play):
    stage = play(asset("base"), asset("more"), asset("own", lg.updated(), lambda base, more: 1))
    stage.publish("more").publish("base", run=R, ahead={"own": {""}})
    assert stage.told() == ["03-01 00:00 own skipped: condition", "03-01 00:00 own skipped: same-run"]
    assert stage.over(R).told() == ["03-01 00:00 own"]
    assert stage.publish("base").told() == ["03-01 00:00 own skipped: condition"]


def test_what_comes_while_the_run_goes_on_is_not_lost(play):
    stage = play(asset("base"), own(lg.updated()))
    stage.publish("base", run=R, ahead={"own": {""}})
    assert stage.publish("base", run="5w2k8m-2222").told()[1:] == ["03-01 00:00 own"]
    assert stage.made(R, "own").over(R).told() == []


def test_what_is_left_unmade_may_still_wait_for_the_rest(play):
    stage = play(asset("base"), own(lg.cron("0 6 * * *") & lg.updated()))
    stage.publish("base", run=R, ahead={"own": {""}}).over(R)
    assert stage.told() == ["03-01 00:00 own skipped: same-run", "03-01 00:00 own skipped: condition"]
    assert stage.until("2026-03-01T06:00").told() == ["03-01 06:00 own"]


def test_a_version_that_only_counts_against_counts_at_once(play):
    stage = play(asset("base"), own(lg.cron("0 6 * * *") & ~lg.updated("base")))
    stage.publish("base", run=R, ahead={"own": {""}})
    assert stage.until("2026-03-01T06:00").told() == ["03-01 06:00 own skipped: condition"]


def test_a_trigger_that_stands_still_takes_nothing_up(play):
    stage = play(asset("base"), own(lg.updated()))
    stage.pause("own").publish("base", run=R, ahead={"own": {""}}).resume("own")
    assert stage.over(R).told() == ["03-01 00:00 own skipped: paused"]


def test_a_trigger_that_stands_still_at_the_end_skips_it(play):
    stage = play(asset("base"), own(lg.updated()))
    stage.publish("base", run=R, ahead={"own": {""}}).pause("own")
    assert stage.over(R).told() == ["03-01 00:00 own skipped: same-run", "03-01 00:00 own skipped: paused"]


def test_a_flow_learns_all_that_the_run_made_and_it_did_not_see(play):
    flow = lg.flow(name="own", on=lg.updated("base") | lg.updated("more"))(lambda asset, partitions: 1)
    stage = play(asset("base", partitions=days), asset("more"), flow)
    for name in ("2026-02-03", "2026-02-01"):
        stage.publish("base", name, run=R, ahead={"own": {""}})
    stage.publish("more", run=R, ahead={"own": {""}})
    assert stage.told() == ["03-01 00:00 own skipped: same-run"] * 3
    assert stage.over(R).told() == [
        "03-01 00:00 own asset=base partitions=['2026-02-03', '2026-02-01']", "03-01 00:00 own asset=more partitions=['']",
    ]  # fmt: skip


def test_several_triggers_leave_to_the_run_what_each_of_them_gets(play):
    stage = play(asset("base"), own(lg.updated()), asset("third", lg.updated("base")))
    stage.publish("base", run=R, ahead={"own": {""}, "third": {""}}).made(R, "third").over(R)
    *skipped, rest = stage.told()
    assert sorted(skipped) == ["03-01 00:00 own skipped: same-run", "03-01 00:00 third skipped: same-run"]
    assert rest == "03-01 00:00 own"
    assert stage.state.holding == {}
