"""The pages of the door: the same for everybody, within their policy, reached by a link from anywhere, framed by nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from http_site import Door, open_door

from legato.surfaces.http.gate import PAGES

KINDS = {"/": "text/html", "/login": "text/html", "/page.css": "text/css", "/page.js": "text/javascript"}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("shop")) as opened:
        yield opened


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_the_same_for_everybody(door: Door, path: str) -> None:
    nobody = door.send("GET", path)
    somebody = door.send("GET", path, {"Authorization": f"Bearer {door.secrets['admin']}"})
    assert (nobody.status, nobody.body) == (200, somebody.body)
    assert nobody.headers["content-type"] == f"{KINDS[path]}; charset=utf-8"
    assert "set-cookie" not in nobody.headers
    assert "script-src 'self'" in nobody.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in nobody.headers["content-security-policy"]


@pytest.mark.parametrize("path", PAGES)
def test_nothing_in_a_page_needs_more_than_its_policy_gives(door: Door, path: str) -> None:
    text = door.send("GET", path).body.decode()
    assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|<style|\sstyle=|javascript:|\beval\(|innerHTML|https?://", text)
    assert set(re.findall(r'(?:src|href)="([^"]+)"', text)) <= {*PAGES, "data:,", "/api/v1/openapi"}


FOLLOWED = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def test_a_link_may_stand_anywhere_but_nobody_frames_or_fetches_the_page(door: Door) -> None:
    for path in ("/", "/login"):
        assert door.send("GET", path, FOLLOWED).status == 200
        for change in ({"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Mode": "no-cors"}):
            assert door.send("GET", path, {**FOLLOWED, **change}).code == "request-foreign"
        assert door.send("GET", path, {**FOLLOWED, "Host": "evil.example"}).code == "request-foreign"
        assert door.send("GET", path, {**FOLLOWED, "Origin": "https://evil.example"}).code == "request-foreign"
    assert door.send("GET", "/api/v1/me", FOLLOWED).code == "request-foreign"
    assert door.send("GET", "/api/v1/health", FOLLOWED).code == "request-foreign"


@pytest.mark.parametrize(
    "path", ["/page", "/static/page.js", "/login.html", "/index.html", "/page.js/x", "/../etc/passwd", "/Login"]
)
def test_there_are_no_other_pages(door: Door, path: str) -> None:
    assert door.send("GET", path).status in (401, 404)
    assert door.send("GET", path, {"Authorization": f"Bearer {door.secrets['admin']}"}).status == 404


def test_what_the_login_page_sends_logs_in(door: Door) -> None:
    link = door.admit("lena", {"": "viewer"}, kind="link")
    headers = {"X-Legato": "1", "Origin": f"http://{door.host}", "Sec-Fetch-Site": "same-origin"}
    made = door.send("POST", "/api/v1/login", headers, b'{"link": "%s"}' % link.encode())
    cookie = made.headers["set-cookie"].split(";")[0]
    shown = door.send("GET", "/api/v1/project", {**headers, "Cookie": cookie}).json()
    assert (shown["actor"], shown["roles"]) == ("lena", {"": "viewer"})
