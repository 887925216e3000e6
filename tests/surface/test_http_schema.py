"""Whatever the schema of the API allows, and what it does not, is answered: no fault of ours, and answers as the schema says."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from http_site import Door, open_door, schema
from hypothesis import HealthCheck, Phase, settings
from service_site import Triggered

from legato.surfaces.http import tries

with warnings.catch_warnings():  # what its own dependencies say of each other is none of our business
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

PIPELINE = """
import legato as lg

days = lg.daily("2026-01-01", end="2026-01-03")

@lg.asset(partitions=days)
def orders(day: lg.Partition) -> int:
    lg.metric("rows", 1)
    return 1

@lg.asset(partitions=lg.dynamic("shops"))
def sales(shop: lg.Partition) -> int:
    return 1

@lg.flow(on=lg.webhook("call") | lg.cron("@daily"))
def take(count: int = 1) -> None: ...
"""
CHECKS = (not_a_server_error, content_type_conformance, response_schema_conformance)
API = schemathesis.openapi.from_dict(schema()).exclude(path_regex="/changes$")  # a stream does not end


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    patch = pytest.MonkeyPatch()
    patch.setattr(tries, "MOST", 100_000)
    with open_door(tmp_path_factory.mktemp("shop"), PIPELINE, Triggered) as opened:
        opened.post("/runs", {"selection": "orders"})
        yield opened
    patch.undo()


def sent(door: Door, case: schemathesis.Case) -> None:
    headers = {"Authorization": f"Bearer {door.secrets['admin']}", "X-Legato": "1"}
    case.call_and_validate(base_url=f"http://{door.host}", headers=headers, checks=CHECKS, timeout=60)


TRIED = settings(
    max_examples=25, derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
"""The same cases each time."""


@pytest.mark.long
@API.parametrize()
@TRIED
def test_every_route_answers_whatever_comes(door: Door, case: schemathesis.Case) -> None:
    sent(door, case)


@pytest.mark.long
@API.parametrize()
@TRIED
def test_every_route_answers_about_what_is_there(door: Door, case: schemathesis.Case) -> None:
    known = {
        "of": "orders", "name": "orders", "key": "orders@2026-01-01", "trigger": "take", "select": "orders", "what": "orders",
        "selection": "orders", "user": "viewer", "word": "run", "older": "last", "newer": "last", "attempt": 1, "before": 0,
    }  # fmt: skip
    if case.path.endswith("key-set") or case.path.endswith("/keys"):
        known["name"] = "shops"
    if case.path_parameters and "run" in case.path_parameters:
        case.path_parameters["run"] = door.get("/runs", limit=1)["runs"][0]["id"]
    for part in (case.query, case.body):
        for name in part if isinstance(part, dict) else ():
            if name in known and not (name == "name" and case.path.endswith("/users")):
                part[name] = known[name]
    sent(door, case)
