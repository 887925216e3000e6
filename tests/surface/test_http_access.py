"""Every route meets `access`: a checked-in matrix of routes and roles, roles by domain, logins, and the record of all that."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_site import Door, open_door, schema

from legato.service import asks
from legato.service.access import ROLES, new_token
from legato.surfaces.http.app import BELOW_API, BESIDE_API, VERSION
from legato.surfaces.http.gate import API, OPEN_ROUTES

MATRIX = {
    role: rows["routes"] for role, rows in tomllib.loads((Path(__file__).parent / "routes.toml").read_text()).items()
}  # fmt: skip
ROWS = [(route, role) for role, routes in MATRIX.items() for route in routes if role not in ("hook", "page")]
SAMPLES = {"{run}": "5w2k8m-4zq1", "{step}": "0", "{token}": "abc123"}
"""What stands for the parts of a path: nothing has these names."""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("shop")) as opened:
        yield opened


def routes() -> list[str]:
    return [f"{method.upper()} {path.removeprefix(API)}" for path, methods in schema()["paths"].items() for method in methods]


def sampled(route: str) -> tuple[str, str]:
    method, path = route.split(" ")
    return method, re.sub(r"\{\w+\}", lambda match: SAMPLES[match[0]], path)


def test_every_route_has_its_row_and_every_row_its_route() -> None:
    listed = [route for each in MATRIX.values() for route in each]
    assert sorted(set(listed) - set(MATRIX["page"])) == sorted(routes())
    assert len([*BELOW_API, *BESIDE_API]) == len(listed)
    assert VERSION == "1"


def test_the_open_routes_are_these_exactly() -> None:
    assert {f"{method} {path.removeprefix(API)}" for method, path in OPEN_ROUTES} == {
        *MATRIX["open"],
        *MATRIX["page"],
    }


@pytest.mark.parametrize(("route", "needed"), ROWS)
def test_each_role_is_let_in_where_the_matrix_says(door: Door, route: str, needed: str) -> None:
    method, path = sampled(route)
    if route == "GET /changes":
        path += "?after=99999999"  # ahead of all: refused by the route itself, and no stream stays open
    for role in ROLES:
        status = door.ask(method, path, role).status
        allowed = needed == "open" or ROLES.index(role) >= ROLES.index(needed)  # type: ignore[arg-type]
        assert (status not in (401, 403)) == allowed, (route, role, status)
    without = door.ask(method, path, role="nobody")
    assert (without.status != 401) == (needed == "open"), (route, without.status)


def test_a_domains_people_see_and_touch_it_alone(door: Door) -> None:
    secret = door.admit("sally", {"sales": "admin"})
    assert door.ask("GET", "/catalogue", secret=secret).json() == []
    for path in ("/node?name=prices", "/why?key=prices", "/versions?of=prices", "/status"):
        assert door.ask("GET", path, secret=secret).code == "access-denied"
    assert door.ask("POST", "/runs", secret=secret, body={"selection": "prices"}).code == "access-denied"
    assert door.ask("POST", "/plan", secret=secret, body={"selection": "prices"}).code == "access-denied"
    assert door.ask("GET", "/audit", secret=secret).code == "access-denied"
    run = door.post("/runs", {"selection": "prices", "force": True})["run"]
    assert door.ask("GET", f"/runs/{run}", secret=secret).code == "access-denied"
    assert door.ask("POST", f"/runs/{run}/resume", secret=secret).code == "access-denied"
    assert door.ask("GET", "/runs", secret=secret).json() == {"runs": [], "older": ""}
    assert run in [each["id"] for each in door.get("/runs")["runs"]]


# -- logging in --


def link_of(door: Door, user: str) -> str:
    return door.admit(user, {"": "operator"}, kind="link")


def test_a_link_is_exchanged_for_a_cookie_once(door: Door) -> None:
    link = link_of(door, "lena")
    made = door.ask("POST", "/login", "nobody", body={"link": link})
    assert made.status == 200
    cookie = made.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    session = cookie.split(";")[0]
    inside = door.send("GET", f"{API}/me", {"Cookie": session})
    assert inside.json() == {"": "operator"}
    assert door.ask("POST", "/login", "nobody", body={"link": link}).code == "login"
    gone = door.send("POST", f"{API}/logout", {"Cookie": session, "X-Legato": "1"})
    assert gone.status == 200
    assert door.send("GET", f"{API}/me", {"Cookie": session}).code == "login-needed"


def test_a_link_lets_nobody_in_by_itself(door: Door) -> None:
    assert door.ask("GET", "/me", secret=link_of(door, "linus")).code == "login-needed"


@pytest.mark.parametrize("scheme", ["Basic", "bearer", "BEARER", "Bearerx", ""])
def test_only_a_bearer_token_is_one(door: Door, scheme: str) -> None:
    answer = door.send("GET", f"{API}/me", {"Authorization": f"{scheme} {door.secrets['viewer']}"})
    assert (answer.status == 200) == (scheme.lower() == "bearer")


def test_a_token_is_made_used_listed_and_revoked(door: Door) -> None:
    door.admit("tom", {"": "editor"})
    made = door.post("/tokens", {"user": "tom", "label": "ci", "scope": {"": "viewer"}})
    assert door.ask("GET", "/me", secret=made["secret"]).json() == {"": "viewer"}
    assert door.ask("POST", "/rollback", secret=made["secret"], body={"what": "prices"}).code == "access-denied"
    listed = door.get("/tokens", "admin")
    assert made["token"] in listed
    assert made["secret"] not in repr(listed)
    assert door.ask("DELETE", f"/tokens/{made['token']['id']}").status == 200
    assert door.ask("GET", "/me", secret=made["secret"]).code == "login-needed"
    assert door.ask("DELETE", f"/tokens/{made['token']['id']}").code == "token"


def test_a_closed_user_is_out(door: Door) -> None:
    secret = door.admit("carl", {"": "viewer"})
    door.post("/users", {"name": "carl", "roles": {"": "viewer"}, "closed": True})
    assert door.ask("GET", "/me", secret=secret).code == "login-needed"


def test_what_is_done_is_in_the_audit_and_no_secret(door: Door) -> None:
    run = door.post("/runs", {"selection": "prices", "force": True, "key": "audited"}, "operator")["run"]
    again = door.post("/runs", {"selection": "prices", "force": True, "key": "audited"}, "operator")
    assert (again["run"], again["new"]) == (run, False)
    told = door.ask("GET", "/audit", limit=1_000)
    newest = told.json()[0]
    assert (newest["actor"], newest["action"], newest["object"]) == ("operator", "submit", "prices --force")
    assert not [secret for secret in door.secrets.values() if secret in told.body.decode()]
    pages = [door.get("/audit", "admin", limit=2)]
    while pages[-1]:
        pages.append(door.get("/audit", "admin", limit=2, before=pages[-1][-1]["number"]))
    assert [each for page in pages for each in page] == told.json()


def test_an_expired_token_is_none(door: Door) -> None:
    secret, token = new_token("token", "viewer", door.site.clock.now(), lasts_s=0.001)
    door.site.ask(asks.ChangeAccess(tokens=(token,), actor="root"), asks.Done)
    while door.site.clock.now() < token.expires:
        pass
    assert door.ask("GET", "/me", secret=secret).code == "login-needed"
