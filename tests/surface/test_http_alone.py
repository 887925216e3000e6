"""What runs by itself, the project's own versions and its health, as the API tells them; by domain, in pages, with an audit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from http_site import Door, open_door
from service_site import Triggered
from up_site import save

from legato.surfaces.client import Client

PIPELINE = """
import legato as lg

days = lg.daily("2026-01-01", end="2026-01-04")

@lg.asset(partitions=days, domain="sales")
def orders(day: lg.Partition) -> int:
    lg.metric("rows", day.date.day)
    lg.metric("share", 0.5)
    return 1

@lg.asset(partitions=lg.dynamic("shops"))
def sold(shop: lg.Partition) -> int:
    return 1

@lg.asset
def plain() -> int:
    return 1

@lg.flow(on=lg.cron("0 {hour} * * *", tz="Europe/Berlin"), domain="sales")
def early() -> None: ...

@lg.flow(on=lg.webhook("call"))
def late() -> None: ...

@lg.flow(on=lg.webhook("call") & lg.webhook("never"), domain="sales")
def waits() -> None: ...
""".replace("{hour}", str((datetime.now(ZoneInfo("Europe/Berlin")).hour + 12) % 24))
"""The cron trigger is far from its next tick, whenever this is read."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def door(folder: Path) -> Iterator[Door]:
    with open_door(folder, PIPELINE, Triggered) as opened:
        yield opened


@pytest.fixture(scope="module")
def sally(door: Door) -> str:
    """Somebody who knows the sales alone."""
    return door.admit("sally", {"sales": "operator"})


@pytest.fixture(scope="module")
def calls(door: Door) -> int:
    headers = {"Authorization": f"Bearer {door.secrets['operator']}"}
    for number in range(5):
        answer = door.send("POST", "/hooks/call", {**headers, "webhook-id": f"c{number}"}, b"{}")
        assert answer.status == 202
    return 5


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until


@pytest.fixture(scope="module")
def made(door: Door) -> None:
    """Both assets, twice."""
    for _ in range(2):
        run = door.post("/runs", {"selection": "orders plain", "force": True})["run"]
        wait_until(lambda run=run: door.get(f"/runs/{run}")["state"] == "succeeded")


def get(door: Door, secret: str, path: str, **params: Any) -> Any:
    answer = door.ask("GET", path, secret=secret, **params)
    return answer.json() if answer.status == 200 else answer.code


def test_triggers_come_in_pages_and_by_domain(door: Door, sally: str) -> None:
    assert [each["name"] for each in door.get("/triggers")["triggers"]] == ["early", "late", "waits"]
    first = door.get("/triggers", limit=2)
    assert ([each["name"] for each in first["triggers"]], first["next"]) == (["early", "late"], "late")
    rest = door.get("/triggers", limit=2, after=first["next"])
    assert ([each["name"] for each in rest["triggers"]], rest["next"]) == (["waits"], "")
    assert [each["name"] for each in get(door, sally, "/triggers")["triggers"]] == ["early", "waits"]
    assert [each["name"] for each in door.get("/triggers", select="late")["triggers"]] == ["late"]
    assert door.ask("GET", "/triggers", select="((").status == 400


def test_the_ticks_to_come_are_told_with_their_clock(door: Door, sally: str) -> None:
    found = door.get("/next", days=3, limit=2)
    assert [each["trigger"] for each in found["ticks"]] == ["early", "early"]
    assert found["ticks"][0]["offset"] in ("+0100", "+0200")
    assert set(found["untimed"]) == {"late", "waits"}
    assert set(get(door, sally, "/next")["untimed"]) == {"waits"}
    assert get(door, sally, "/next", trigger="late") == "access-denied"
    assert get(door, door.secrets["viewer"], "/next", trigger="plain") == "trigger"
    assert [door.ask("GET", "/next", days=days).status for days in (0, -1, 5_000, "x")] == [400] * 4


def test_decisions_come_in_pages_that_are_filled(door: Door, sally: str, calls: int) -> None:
    every = door.get("/decisions", limit=100)["decisions"]
    assert sorted(each["trigger"] for each in every) == ["late"] * calls + ["waits"] * calls
    assert {each["outcome"] for each in every if each["trigger"] == "waits"} == {"skipped"}
    for secret, expected in ((door.secrets["viewer"], every), (sally, [each for each in every if each["trigger"] == "waits"])):
        pages, before = [], 0
        while not pages or before:
            page = get(door, secret, "/decisions", limit=2, before=before)
            pages.append([each["key"] + each["trigger"] for each in page["decisions"]])
            before = page["older"]
        assert [key for page in pages for key in page] == [each["key"] + each["trigger"] for each in expected]
        assert {len(page) for page in pages[:-1]} == {2}
    assert len(door.get("/decisions", trigger="late")["decisions"]) == calls
    assert get(door, sally, "/decisions", trigger="late") == "access-denied"
    assert get(door, door.secrets["viewer"], "/decisions", trigger="nobody") == "asset"


def test_a_trigger_is_paused_once_and_that_is_in_the_audit(door: Door, sally: str) -> None:
    body = {"trigger": "early"}
    assert door.ask("POST", "/triggers/pause", "viewer", body=body).code == "access-denied"
    assert door.ask("POST", "/triggers/pause", secret=sally, body={"trigger": "late"}).code == "access-denied"
    for _ in range(2):
        assert door.ask("POST", "/triggers/pause", secret=sally, body=body).json() == {"trigger": "early", "paused": True}
    assert door.get("/triggers", select="early")["triggers"][0]["paused"] is True
    assert door.post("/triggers/unpause", body) == {"trigger": "early", "paused": False}
    assert door.get("/triggers", select="early")["triggers"][0]["paused"] is False
    told = [(each["actor"], each["action"]) for each in door.get("/audit", "admin") if each["object"] == "trigger early"]
    assert told == [("admin", "unpause"), ("sally", "pause")]
    assert door.ask("POST", "/triggers/pause", body={"trigger": "plain"}).code == "trigger"
    assert door.ask("POST", "/triggers/pause", body={"trigger": "nobody"}).code == "asset"


@pytest.mark.usefixtures("made")
def test_the_metrics_of_an_asset_are_told_version_by_version(door: Door, sally: str) -> None:
    page = get(door, sally, "/series", of="orders", limit=4)
    assert [(each["partition"], each["metrics"]) for each in page["points"]][:3] == [
        (f"2026-01-0{day}", {"rows": day, "share": 0.5}) for day in (3, 2, 1)
    ]
    rest = get(door, sally, "/series", of="orders", limit=4, before=page["older"])
    assert (len(page["points"]), len(rest["points"]), rest["older"]) == (4, 2, 0)
    of_one = get(door, sally, "/series", of="orders@2026-01-02", metric="rows")
    assert [each["metrics"] for each in of_one["points"]] == [{"rows": 2}, {"rows": 2}]
    assert get(door, sally, "/series", of="orders", metric="nothing")["points"] == []
    assert get(door, sally, "/series", of="plain") == "access-denied"
    assert [each["metrics"] for each in door.get("/series", of="plain")["points"]] == [{}, {}]
    assert get(door, door.secrets["viewer"], "/series", of="nobody") == "asset"


def test_versions_of_the_project_and_what_is_wrong_with_its_files(tmp_path: Path) -> None:
    with open_door(tmp_path, PIPELINE, Triggered) as door:
        look_at_versions(door, tmp_path / "pipeline.py", sally=door.admit("sally", {"sales": "operator"}))


def look_at_versions(door: Door, pipeline: Path, sally: str) -> None:
    assert door.get("/faults") == []
    assert len(door.get("/projects")) == 1
    assert door.ask("GET", "/diff").code == "project-version"
    save(pipeline, PIPELINE + "\n@lg.asset(retries=-1)\ndef broken(): ...\n")
    wait_until(lambda: bool(door.get("/faults")))
    assert [each["code"] for each in door.get("/faults")] == ["retries"]
    assert door.get("/faults", start=1) == []
    save(pipeline, PIPELINE.replace("return 1", "return 2"))
    wait_until(lambda: len(door.get("/projects")) == 2)
    wait_until(lambda: door.get("/faults") == [])
    newest, first = door.get("/projects")
    found = door.get("/diff")
    assert (found["older"], found["newer"]) == (first["fingerprint"], newest["fingerprint"])
    assert [each["name"] for each in found["changes"]] == ["orders", "plain", "sold"]
    assert [each["name"] for each in get(door, sally, "/diff")["changes"]] == ["orders"]
    assert door.get("/diff", older=newest["fingerprint"][:12], newer=first["fingerprint"][:12])["older"] == newest["fingerprint"]
    assert door.ask("GET", "/diff", older="zzz").code == "project-version"
    assert door.get("/projects", limit=1) + door.get("/projects", before=newest["fingerprint"]) == [newest, first]
    assert door.ask("GET", "/projects", before="none").code == "project-version"


def test_the_doctor_and_the_dictionary(door: Door) -> None:
    findings = door.get("/doctor", "admin")["findings"]
    assert {each["subject"] for each in findings} >= {"python", "store", "runs", "clock"}
    assert "fault" not in {each["level"] for each in findings}
    (quick,) = (each["what"] for each in findings if each["subject"] == "store")
    assert "pages were not read" in quick
    deep = door.get("/doctor", "admin", deep="true")
    assert (deep["deep"], {"fault"} & {each["level"] for each in deep["findings"]}) == (True, set())
    (whole,) = (each["what"] for each in deep["findings"] if each["subject"] == "store")
    assert whole.endswith("every page intact")
    assert door.get("/explain", word="webhook-signature")["section"] == "Errors"
    assert door.ask("GET", "/explain", word="../../etc/passwd").code == "topic"


def test_an_admin_makes_a_link_for_somebody(door: Door) -> None:
    made = door.post("/links", {"user": "viewer"})
    assert made["token"]["kind"] == "link"
    assert door.ask("POST", "/login", "nobody", body={"link": made["secret"]}).status == 200
    assert door.ask("POST", "/links", body={"user": "nobody"}).code == "user"


def test_a_plan_takes_results_of_runs_that_one_may_see(door: Door, sally: str) -> None:
    run = door.post("/runs", {"selection": "late"})["run"]
    assert door.ask("POST", "/plan", secret=sally, body={"selection": "early", "pins": [f"late={run}"]}).code == "access-denied"
    assert door.ask("POST", "/plan", body={"start": ["late", "nothing"]}).code == "run"
    shown = door.post("/plan", {"selection": "late"})
    assert (shown["reused"], shown["notes"]) == ([], [])


@pytest.mark.usefixtures("made")
def test_the_client_goes_from_page_to_page(door: Door, calls: int) -> None:
    api = Client(f"http://{door.host}", door.secrets["operator"])
    assert [each.name for each in api.triggers()] == ["early", "late", "waits"]
    assert len(list(api.decisions("waits"))) == calls
    assert [each.number for each in api.decisions(most=3)] == sorted((each.number for each in api.decisions()), reverse=True)[:3]
    assert [each.metrics for each in api.series("orders", "rows", most=2)] == [{"rows": 3}, {"rows": 2}]
    api.pause("late")
    assert [each.paused for each in api.triggers("late")] == [True]
    api.unpause("late")
    assert [each.paused for each in api.triggers("late")] == [False]


def test_every_list_comes_in_pages(door: Door) -> None:
    """One at a time, each list is what it is as a whole."""
    door.post("/keys", {"name": "shops", "keys": ["b", "a", "c"]})
    for path, last in (
        ("/catalogue", lambda line: line["name"]),
        ("/users", lambda line: line["name"]),
        ("/tokens", lambda line: line["id"]),
    ):
        whole, found, after = door.get(path, "admin"), [], ""
        while page := door.get(path, "admin", limit=1, after=after):
            found += page
            after = last(page[-1])
        assert found == whole
        assert len(found) > 3
    assert [each["name"] for each in door.get("/keys", limit=1)] == ["shops"]
    assert door.get("/keys", after="shops") == []
    keys, start = [], 0
    while page := door.get("/key-set", name="shops", limit=2, start=start)["keys"]:
        keys += page
        start += len(page)
    assert keys == ["b", "a", "c"]
    assert door.ask("GET", "/waits", after="x").status == 400
    assert door.get("/waits", after="5w2k8m-4zq1/7") == []
