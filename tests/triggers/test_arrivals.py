"""arrivals: each event is one decision of each trigger that listens, for the partitions that it is about."""

from __future__ import annotations

import pytest

import legato as lg
from legato.triggers.inputs import Changes
from legato.triggers.state import changes, paths_asked

days = lg.daily("2026-02-01")
months = lg.monthly("2026-01-01")
airports = lg.static(["EWR", "JFK"])
files = lg.dynamic("files")


def asset(name, on=None, fn=lambda: 1, **keywords):
    return lg.asset(name=name, on=on, **keywords)(fn)


def flow(on, fn=lambda: 1):
    return lg.flow(name="own", on=on)(fn)


# -- new versions --


def test_a_new_version_is_a_run_once(play):
    stage = play(asset("base"), asset("own", lg.updated(), lambda base: 1))
    assert stage.publish("base", id="v1").told() == ["03-01 00:00 own"]
    assert stage.publish("base", id="v1").told() == []
    assert stage.publish("base", id="v2").told() == ["03-01 00:00 own"]
    assert stage.publish("other").told() == []


def test_what_one_step_publishes_is_one_tick_of_all_its_assets(play):
    both = asset("own", lg.updated(), lambda base, more: 1)
    either = asset("other", lg.updated(any=True), lambda base, more: 1)
    stage = play(asset("base"), asset("more"), both, either)
    assert sorted(stage.publish("base+more").told()) == ["03-01 00:00 other", "03-01 00:00 own"]


@pytest.mark.parametrize(
    ("up", "down", "mapping", "published", "asked"),
    [
        (days, days, None, ["2026-02-03", "2026-02-05"], "@2026-02-03,2026-02-05"),
        (days, months, None, ["2026-01-31", "2026-02-03", "2026-02-28"], "@2026-02"),
        (days, days, lg.look_back(2), ["2026-02-03"], "@2026-02-03,2026-02-04"),
        (days, None, None, ["2026-02-03"], ""),
        (None, days, None, [""], "@*"),
        (airports, airports, None, ["JFK"], "@JFK"),
        (files, files, None, ["b"], "@b"),
        (files, days, None, ["b"], "@*"),
        (lg.product(day=days, airport=airports), days, None, ["2026-02-03|JFK"], "@2026-02-03"),
        (days, lg.product(day=days, airport=airports), None, ["2026-02-03"], "@2026-02-03|EWR,2026-02-03|JFK"),
    ],
)
def test_the_partitions_that_need_the_new_ones_are_asked_for(play, up, down, mapping, published, asked):
    deps = {"base": mapping} if mapping else ()
    own = asset("own", lg.updated(), lambda base: 1, partitions=down, deps=deps)
    stage = play(asset("base", partitions=up), own, dynamic={"files": ["a", "b"]})
    assert stage.publish("base", *published).told() == [f"03-01 00:00 own{asked}"]


def test_what_is_no_input_and_cannot_be_mapped_means_all(play):
    stage = play(asset("base", partitions=airports), asset("own", lg.updated("base"), partitions=days))
    assert stage.publish("base", "JFK").told() == ["03-01 00:00 own@*"]


def test_what_nothing_needs_yet_is_skipped(play):
    stage = play(asset("base", partitions=days), asset("own", lg.updated(), lambda base: 1, partitions=months))
    stage.until("2026-03-10")
    assert stage.publish("base", "2026-03-05").told() == ["03-10 00:00 own skipped: partition"]


def test_a_thousand_partitions_are_one_run(play):
    hours = lg.hourly("2025-06-01")
    stage = play(asset("base", partitions=hours), asset("own", lg.updated(), lambda base: 1, partitions=hours))
    names = hours.keys_between(0, 1000)
    [fired] = stage.publish("base", *names).decisions()
    assert fired.request.partitions == tuple(names)
    assert fired.numbers["versions"] == 1000


def test_a_flow_learns_what_is_new(play):
    stage = play(asset("base", partitions=days), flow(lg.updated("base"), lambda asset, partitions: 1))
    assert stage.publish("base", "2026-02-03").told() == ["03-01 00:00 own asset=base partitions=['2026-02-03']"]


# -- files --


def test_a_file_counts_once_and_again_with_other_bytes(play):
    stage = play(flow(lg.file("inbox/*.csv"), lambda path, size, digest: 1))
    assert stage.file("inbox/a.csv").told() == ["03-01 00:00 own digest=d1 path=inbox/a.csv size=10"]
    assert stage.file("inbox/a.csv").told() == []
    assert stage.file("inbox/a.csv", "d2").told() == ["03-01 00:00 own digest=d2 path=inbox/a.csv size=10"]
    assert stage.file("inbox/deep/a.csv").file("outbox/a.csv").file("inbox/.a.csv").told() == []


def test_files_are_found_wherever_patterns_begin(play):
    patterns = ["*.csv", "**/a.csv", "in/*/a.csv", "/in/*", "/*", "s3://bucket/in/*"]
    stage = play(*(lg.flow(name=f"f{number}", on=lg.file(each))(lambda: 1) for number, each in enumerate(patterns)))

    def heard(path):
        return [line.split()[-1] for line in stage.file(path).told()]

    assert heard("a.csv") == ["f0", "f1"]
    assert heard("in/x/a.csv") == ["f1", "f2"]
    assert heard("/in/a.csv") == ["f3"]
    assert heard("/a.csv") == ["f4"]
    assert heard("s3://bucket/in/a.csv") == ["f5"]
    assert heard("s3://bucket/a") == []


def test_a_file_that_two_patterns_mean_is_one_run(play):
    stage = play(flow(lg.file("in/*.csv") | lg.file("in/a*") | lg.file("**/*")))
    assert stage.file("in/a.csv").told() == ["03-01 00:00 own"]


def test_a_files_key_is_its_partition(play):
    stage = play(asset("own", lg.file("in/day-*.csv"), partitions=days))
    assert stage.file("in/day-2026-02-03.csv").told() == ["03-01 00:00 own@2026-02-03"]
    [skipped] = stage.file("in/day-2026-02-30.csv").decisions()
    assert (skipped.why, skipped.numbers["key"]) == ("partition", "2026-02-30")
    assert "there is no partition '2026-02-30'" in skipped.numbers["wrong"]
    [skipped] = stage.file("in/day-2026-03-01.csv").decisions()
    assert skipped.numbers["wrong"] == "the window of '2026-03-01' is not over yet"


def test_a_files_key_is_added_to_a_dynamic_set(play):
    stage = play(asset("own", lg.file("in/*.csv"), partitions=files), dynamic={"files": ["a"]})
    fired = [each for name in ("a", "b") for each in stage.file(f"in/{name}.csv").decisions()]
    assert [(each.request.partitions, each.request.adds) for each in fired] == [(("a",), ()), (("b",), (("files", "b"),))]


@pytest.mark.parametrize("name", ["a|b", "a@b", "a,b", "..a", "*", "x" * 201, "a\x07b"])
def test_a_file_that_is_named_to_attack_starts_nothing(play, name):
    stage = play(asset("own", lg.file("in/*"), partitions=files))
    assert stage.file(f"in/{name}").told() in ([], ["03-01 00:00 own skipped: partition"])
    assert [each for each in stage.events if hasattr(each, "request")] == []


def test_a_key_names_one_dimension_of_several(play):
    parts = lg.product(day=days, file=files)
    stage = play(asset("own", lg.file("in/*.csv"), partitions=parts), dynamic={"files": ["a"]})
    [fired] = stage.file("in/b.csv").decisions()
    assert (fired.request.partitions, fired.request.adds) == (("2026-02-28|b",), (("files", "b"),))


# -- calls and messages --


def test_a_call_counts_once(play):
    stage = play(flow(lg.webhook("orders"), lambda payload, id: 1))
    [fired] = stage.call("orders", id="c1").decisions()
    assert (fired.request.params, fired.request.payload_to, fired.request.payload) == ({"id": "c1"}, "payload", "payload-7")
    assert stage.call("orders", id="c1").told() == []
    assert stage.call("orders", id="c2").told() == ["03-01 00:00 own id=c2"]
    assert stage.call("other").call("orders", "message").told() == []


def test_a_payload_that_nobody_takes_is_not_handed_over(play):
    stage = play(flow(lg.webhook("orders").given(payload=5), lambda payload: 1))
    [fired] = stage.call("orders").decisions()
    assert (fired.request.params, fired.request.payload_to) == ({"payload": 5}, "")


def test_the_key_is_where_it_was_asked_for(play):
    stage = play(
        asset("own", lg.webhook("orders", key="order.id"), partitions=files),
        asset("other", lg.webhook("orders", key="file") | lg.message("mail"), partitions=files),
    )
    assert paths_asked(stage.state, "webhook", "orders") == ["file", "order.id"]
    assert stage.call("orders", order__id="o1", file="f1").told() == ["03-01 00:00 own@o1", "03-01 00:00 other@f1"]
    assert stage.call("mail", "message", own="m1").told() == ["03-01 00:00 other@m1"]


def test_a_call_without_a_key_is_about_the_newest_window_or_all_keys(play):
    stage = play(asset("own", lg.webhook("go"), partitions=days), asset("other", lg.webhook("go"), partitions=airports))
    assert stage.call("go").told() == ["03-01 00:00 own@2026-02-28", "03-01 00:00 other@*"]


# -- failures, metrics, changes --


def test_a_failure_starts_what_mends_it(play):
    fleet = lg.assets("planes", "airports", name="fleet")(lambda: (1, 2))
    mend = flow(lg.trigger.failed(fleet), lambda node, partition, run, error: 1)
    stage = play(fleet, mend)
    expected = "03-01 00:00 own error=boom node=fleet partition= run=5w2k8m-4zq1"
    assert stage.fail("fleet", "planes", "airports").told() == [expected]
    assert stage.fail("other").told() == []


def test_a_failure_is_about_the_partitions_that_need_it(play):
    stage = play(asset("base", partitions=days), asset("own", lg.trigger.failed("base"), lambda base: 1, partitions=days))
    assert stage.fail("base", partition="2026-02-03").told() == ["03-01 00:00 own@2026-02-03"]


def test_a_metric_counts_beyond_its_bounds(play):
    base, watch = asset("base"), lg.trigger.metric
    stage = play(base, flow(watch("nulls", base, above=0.05) | watch("nulls", base, below=0.01), lambda value: 1))
    assert stage.measure("base", "nulls", 0.06).told() == ["03-01 00:00 own value=0.06"]
    assert stage.measure("base", "nulls", 0.005).told() == ["03-01 00:00 own value=0.005"]
    [skipped] = stage.measure("base", "nulls", 0.05).decisions()
    assert (skipped.why, skipped.numbers["value"]) == ("condition", 0.05)
    assert stage.measure("base", "rows", 1).measure("other", "nulls", 1).told() == []


def test_changed_code_asks_for_all_partitions(play):
    before = play(asset("own", lg.trigger.changed(), lambda: 1, partitions=days), asset("other", None, lambda: 1))
    after = play(asset("own", lg.trigger.changed(), lambda: 2, partitions=days), asset("other", None, lambda: 2))
    [change] = changes(before.project, after.project)
    assert (change.node, change.what) == ("own", "code")
    assert after.tell(change).tell(change).told() == ["03-01 00:00 own@*"]
    assert list(changes(after.project, after.project)) == []
    after.until("2026-03-02").tell(change)
    assert after.told() == ["03-02 00:00 own@*"]
    assert after.tell(Changes("own", "contract", "x")).told() == []


def test_a_changed_contract_is_another_change(play):
    def project(low):
        return play(asset("own", lg.trigger.changed("contract"), contract=lg.contract({"a": lg.column(int, low=low)}))).project

    [change] = changes(project(0), project(1))
    assert (change.node, change.what) == ("own", "contract")


# -- paused --


def test_what_comes_while_a_trigger_is_paused_is_skipped_each_by_itself(play):
    base = asset("base")
    on = lg.updated("base") | lg.file("in/*") | lg.webhook("go") | lg.trigger.metric("rows", base, below=5)
    stage = play(base, asset("own", on))
    stage.pause("own").publish("base").file("in/a").call("go", id="c1").measure("base", "rows", 1).measure("base", "rows", 9)
    assert stage.told() == ["03-01 00:00 own skipped: paused"] * 5
    assert stage.resume("own").file("in/a").call("go", id="c1").told() == []
    assert stage.file("in/b").told() == ["03-01 00:00 own"]


def test_events_are_never_skipped_because_a_run_goes_on(play):
    stage = play(asset("own", lg.webhook("go")))
    assert stage.call("go").call("go").told() == ["03-01 00:00 own"] * 2
