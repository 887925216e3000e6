"""`/metrics` as Prometheus reads it: well-formed, cheap, for those who may look, of what they may look at."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from cli_site import wait_for
from http_site import Door, open_door

from legato.service.metering import Family, Meter
from legato.stores.memory import MemoryStore
from legato.surfaces.http.metrics import in_text

LINE = re.compile(
    r'(?P<name>[a-z_]+)(\{(?P<labels>([a-z]+="([^"\\\n]|\\["\\n])*"(,(?=[a-z]))?)+)\})? (?P<number>-?[0-9.e+-]+)'
)  # fmt: skip


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("shop")) as opened:
        yield opened


def scrape(door: Door, **who: str) -> dict[str, float]:
    answer = door.ask("GET", "/metrics", **who)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: dict[str, float] = {}
    typed: dict[str, str] = {}
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in typed
            typed[name] = kind
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match, line
            assert match["name"] in typed
            key = line.rpartition(" ")[0]
            assert key not in found
            found[key] = float(match["number"])
    assert all((typed[name] == "counter") == name.endswith("_total") for name in typed)
    return found


def make_prices(door: Door) -> None:
    run = door.post("/runs", {"selection": "prices", "force": True})["run"]
    wait_for(lambda: door.get(f"/runs/{run}")["state"] == "succeeded")


def test_what_runs_do_is_counted_from_the_first_look_on(door: Door) -> None:
    before = scrape(door)
    make_prices(door)
    now = scrape(door)
    grown = {key: now[key] - before.get(key, 0) for key in now if now[key] != before.get(key)}
    assert grown['legato_runs_ended_total{outcome="succeeded"}'] == 1
    assert grown["legato_attempts_started_total"] == 1
    assert grown['legato_steps_succeeded_total{cached="false"}'] == 1
    assert grown['legato_node_attempts_succeeded_total{node="prices"}'] == 1
    assert now["legato_runs_open"] == 0
    assert now["legato_conductor_up"] == 1
    assert now["legato_disk_free_bytes"] > 0
    assert now['legato_process_memory_bytes{process="web"}'] > 1e6


def test_a_domains_people_see_the_numbers_of_it_alone(door: Door) -> None:
    secret = door.admit("simon", {"sales": "viewer"})
    make_prices(door)
    seen = scrape(door, secret=secret)
    assert not [key for key in seen if "prices" in key]
    assert "legato_runs_open" in seen


def test_names_are_written_so_that_nobody_can_forge_a_line() -> None:
    evil = 'a"} 1\nlegato_runs_open 99\\'
    family = Family("legato_x", "gauge", "What\nis \\ it", [((("node", evil),), 0.5)])
    lines = "".join(in_text([family])).splitlines()
    assert lines == [
        "# HELP legato_x What\\nis \\\\ it", "# TYPE legato_x gauge", 'legato_x{node="a\\"} 1\\nlegato_runs_open 99\\\\"} 0.5'
    ]  # fmt: skip


def test_a_look_costs_what_is_new_and_never_the_history() -> None:
    asked: list[tuple[int, int]] = []

    class Store(MemoryStore):
        newest = 5_000_000

        def newest_change(self) -> int:
            return self.newest

        def changes(self, after: int, limit: int = 1_000) -> list[tuple[int, str, bytes]]:
            asked.append((after, limit))
            from legato.kernel import events as ev
            from legato.terms.instant import Instant

            body = ev.encode(ev.RunEnded(Instant(1), "failed"))
            return [(number, "r", body) for number in range(after + 1, min(after + limit, self.newest + 50_000) + 1)]

    meter = Meter()
    store = Store()
    meter.read(store)
    assert asked[0][0] == 5_000_000
    assert sum(limit for _, limit in asked) <= 20_000
    meter.read(store)
    (ended,) = [family for family in meter.read(store) if family.name == "legato_runs_ended_total"]
    assert ended.samples == [((("outcome", "failed"),), 50_000)]
