"""The gate: foreign, malformed, oversized and tricky requests, and what every answer carries."""

from __future__ import annotations

import json
import random
import re
import socket
import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from http_site import Answer, Door, open_door, schema

from legato.surfaces.http import tries
from legato.surfaces.http.gate import API, MOST_BODY, MOST_DEPTH, OPEN_ROUTES
from legato.surfaces.http.serving import Address, is_loopback, listen, require_protected
from legato.terms.errors import LegatoError

OWN = {"X-Legato": "1"}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("shop")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _many_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "MOST", 10_000)


def bearer(door: Door, role: str = "admin") -> dict[str, str]:
    return {"Authorization": f"Bearer {door.secrets[role]}"}


# -- who asks, and from where --


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:4747", "", "127.0.0.1:4747@x"]
)
def test_a_foreign_host_is_refused(door: Door, method: str, host: str) -> None:
    answer = door.send(method, f"{API}/health", {"Host": host, **OWN})
    assert answer.status == (400 if not host and answer.status == 400 else 403)


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
def test_the_machines_own_names_are_answered(door: Door, name: str) -> None:
    assert door.send("GET", f"{API}/health", {"Host": f"{name}:{door.port}"}).status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "https://{host}"])
def test_a_foreign_origin_is_refused(door: Door, method: str, origin: str) -> None:
    headers = {"Origin": origin.format(host=door.host), **OWN, **bearer(door)}
    assert door.send(method, f"{API}/me", headers).code == "request-foreign"


def test_the_own_origin_is_let_in(door: Door) -> None:
    assert door.send("GET", f"{API}/me", {"Origin": f"http://{door.host}", **bearer(door)}).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "x"])
def test_what_a_browser_says_of_a_foreign_page_is_believed(door: Door, site: str) -> None:
    for method in ("GET", "POST"):
        answer = door.send(method, f"{API}/health", {"Sec-Fetch-Site": site, **OWN})
        assert answer.code == "request-foreign"
    assert door.send("GET", f"{API}/health", {"Sec-Fetch-Site": "same-origin"}).status == 200


def test_a_change_needs_the_own_header_even_with_a_login(door: Door) -> None:
    for path in ("/plan", "/runs", "/login", "/keys"):
        answer = door.send("POST", API + path, bearer(door), b"{}")
        assert answer.code == "request-foreign"


def test_cors_is_answered_by_nobody(door: Door) -> None:
    asked = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-legato",
    }
    answer = door.send("OPTIONS", f"{API}/runs", asked)
    assert answer.status == 405
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


# -- paths --

TRICKS = (
    "{open}/", "{open}/.", "{open}/..", "{open}/../me", "{open}/%2e%2e/me", "{open}%2f..%2fme", "{open};/me", "{open}//me",
    "/{open}", "{open}%00", "{open}%20", "{open}\\me", "{open}/../../../../etc/passwd", "{open}?x=/../me#", "{open}.json",
    "{open}%3f", "{OPEN}", "{open}/me", "{open}%252e",
)  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("opened", sorted(OPEN_ROUTES))
def test_no_path_passes_beside_the_list_of_open_routes(door: Door, opened: tuple[str, str], trick: str) -> None:
    method, path = opened
    answer = door.send(method, trick.format(open=path, OPEN=path.upper()), OWN, b"{}" if method == "POST" else None)
    if "?" in trick or trick.format(open=path, OPEN=path.upper()) == path:
        assert answer.status in (200, 400, 503)  # what is after the ? is no path: the open route itself
    else:
        assert answer.status in (400, 401, 404), answer.body


TRAVERSALS = (
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "....//etc/passwd",
    "\x00",
    "~root",
    "file:///etc/passwd",
)


# -- bodies --


def post(door: Door, body: bytes, path: str = "/plan", **headers: str) -> Answer:
    return door.send("POST", API + path, {**OWN, **bearer(door), **headers}, body)


def test_a_body_is_not_too_large_not_too_deep_and_json(door: Door) -> None:
    assert post(door, b'"' + b"x" * MOST_BODY + b'"').code == "request-large"
    assert post(door, b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1)).code == "request-large"
    assert post(door, b'{"params": ' + b"[" * 500_000).code == "request-large"
    assert post(door, b'{"selection": "%s"}' % (b"[" * 100)).code != "request-large"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/msgpack", ""):
        assert post(door, b"{}", **{"Content-Type": kind}).code == "request-type"
    assert post(door, b"{}", **{"Content-Type": "application/json; charset=utf-8"}).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b'"x"', b"1e999", b'{"selection": 1}', b'{"force": "yes"}', b'{"unknown": 1}', b"\xff\xfe",
        b"{}{}", b'{"selection": "\xed\xa0\x80"}', b'{"selection": "\\ud800"}', b'{"params": []}', b'{"selection": "(((("}',
        b'{"selection": "nobody"}',
    ],
)  # fmt: skip
def test_a_body_of_the_wrong_form_is_a_problem_and_no_fault(door: Door, body: bytes) -> None:
    for path in ("/plan", "/runs"):
        answer = post(door, body, path)
        assert answer.status in (400, 404), answer.body
        told = answer.json()
        assert {"type", "title", "status", "detail", "code", "what", "where", "why", "next"} <= told.keys()
        assert "Traceback" not in str(told)


def test_a_length_that_lies_is_refused(door: Door) -> None:
    for length in ("-1", "x", str(MOST_BODY + 1), "9" * 30):
        with socket.create_connection(("127.0.0.1", door.port), 10) as sock:
            lines = (f"POST {API}/plan HTTP/1.1", f"Host: {door.host}", "X-Legato: 1", f"Content-Length: {length}", "", "{}")
            sock.sendall("\r\n".join(lines).encode())
            assert b" 4" in sock.recv(20)


def test_headers_that_decide_come_once(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.port), 10) as sock:
        lines = (f"GET {API}/health HTTP/1.1", f"Host: {door.host}", "Origin: http://x", f"Origin: http://{door.host}", "", "")
        sock.sendall("\r\n".join(lines).encode())
        assert b" 400 " in sock.recv(20)


# -- answers --


@pytest.mark.parametrize("path", ["/health", "/me", "/nothing", "/runs/%2e"])
def test_every_answer_carries_what_keeps_a_browser_from_harm(door: Door, path: str) -> None:
    for headers in ({}, bearer(door)):
        answer = door.send("GET", API + path, headers)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


def test_who_tries_to_log_in_too_often_waits(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "MOST", 3)
    monkeypatch.setattr(door.site, "tries", tries.Tries())
    codes = [door.ask("POST", "/login", "nobody", body={"link": "guess"}).code for _ in range(5)]
    assert codes == ["login", "login", "login", "too-many", "too-many"]


def test_a_fault_of_ours_tells_nothing(door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(door.site, "open_reader", lambda: 1 / 0)
    answer = door.ask("GET", "/health")
    assert answer.status == 200
    monkeypatch.undo()
    monkeypatch.setattr(door.site, "workspace", lambda: 1 / 0)
    answer = door.ask("GET", "/project")
    assert (answer.status, answer.code) == (500, "internal")
    assert b"division" not in answer.body
    assert "division by zero" in caplog.text


# -- addresses --


@pytest.mark.parametrize(
    ("address", "code"),
    [
        (Address(host="127.0.0.1"), ""),
        (Address(host="::1"), ""),
        (Address(host="localhost"), ""),
        (Address(host="0.0.0.0"), "address-open"),
        (Address(host="192.168.1.5"), "address-open"),
        (Address(host="example.org"), "address-open"),
        (Address(host="0.0.0.0", proxy="legato.example.org"), ""),
        (Address(host="0.0.0.0", certificate="c", key="k"), "address-name"),
        (Address(host="::", certificate="c", key="k"), "address-name"),
        (Address(host="::", certificate="c", key="k", proxy="srv:4747"), ""),
        (Address(host="192.168.1.5", certificate="c", key="k"), ""),
        (Address(host="0.0.0.0", certificate="c"), "address-tls"),
    ],
)
def test_an_address_that_others_reach_needs_protection(address: Address, code: str) -> None:
    if not code:
        require_protected(address)
        return
    with pytest.raises(LegatoError) as raised:
        require_protected(address)
    assert raised.value.code == code


def test_an_address_that_is_taken_is_said(door: Door) -> None:
    with pytest.raises(LegatoError) as raised:
        listen(Address(port=door.port))
    assert raised.value.code == "address-taken"


def test_hosts_follow_the_address() -> None:
    assert Address(port=1).hosts == {"localhost:1", "127.0.0.1:1", "[::1]:1"}
    assert Address(host="10.0.0.1", port=1, certificate="c", key="k").hosts == {"10.0.0.1:1"}
    behind = Address(host="0.0.0.0", proxy="Legato.example")
    assert (behind.hosts, behind.url, behind.scheme) == (
        {"legato.example", "legato.example:443"},
        "https://legato.example",
        "https",
    )
    assert not is_loopback("0.0.0.0")


@pytest.mark.parametrize(
    ("address", "hosts", "url"),
    [
        (Address(host="Srv", port=443, certificate="c", key="k"), {"srv", "srv:443"}, "https://srv"),
        (Address(host="srv", port=80, certificate="c", key="k"), {"srv:80"}, "https://srv:80"),
        (Address(host="FE80::1", port=443, certificate="c", key="k"), {"[fe80::1]", "[fe80::1]:443"}, "https://[fe80::1]"),
        (Address(host="0.0.0.0", certificate="c", key="k", proxy="Srv:4747"), {"srv:4747"}, "https://srv:4747"),
        (Address(host="0.0.0.0", port=443, certificate="c", key="k", proxy="srv"), {"srv", "srv:443"}, "https://srv"),
        (Address(proxy="srv:443"), {"srv", "srv:443"}, "https://srv"),
        (Address(proxy="[::2]"), {"[::2]", "[::2]:443"}, "https://[::2]"),
        (Address(host="localhost", port=80), {f"{n}{p}" for n in ("localhost", "127.0.0.1", "[::1]") for p in ("", ":80")},
         "http://localhost"),
    ],
)  # fmt: skip
def test_browsers_leave_out_the_port_that_their_scheme_has(address: Address, hosts: set[str], url: str) -> None:
    assert (address.hosts, address.url) == (hosts, url)


# -- whatever the schema allows, and what it does not --

SCHEMA = schema()
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in SCHEMA["paths"].items() for method, operation in methods.items()
    if path.startswith(API) and not path.endswith("/changes")
]  # fmt: skip
TEXTS = (
    "",
    "prices",
    "sales@2013-01-30",
    "a" * 3_000,
    "%00",
    "\x00",
    "☃",
    "'; drop table run; --",
    "{{7*7}}",
    "../x",
    "-1",
    "[",
    "😀" * 9,
)


def invented(random: random.Random, kind: dict[str, Any], depth: int = 0) -> Any:
    """A value that may fit a schema, or not."""
    if "$ref" in kind:
        kind = SCHEMA["components"]["schemas"][kind["$ref"].rsplit("/", 1)[1]]
    if random.random() < 0.15 or depth > 4:
        return random.choice([None, True, -1, 2**63, 1.5, "", [], {}, [[[]]], {"": ""}])
    if "oneOf" in kind:
        return invented(random, random.choice(kind["oneOf"]), depth)
    match kind.get("type"):
        case "object":
            return {name: invented(random, each, depth + 1) for name, each in kind.get("properties", {}).items()}
        case "array":
            return [invented(random, kind.get("items", {}), depth + 1) for _ in range(random.randrange(3))]
        case "integer":
            return random.choice([0, 1, 5, -1, 2**31, 2**63, 10**30])
        case "number":
            return random.choice([0, 1.5, -1e300])
        case "boolean":
            return random.random() < 0.5
    return random.choice([*TEXTS, "".join(random.choices(string.printable, k=12))])


ROUTES = [
    *((method, re.sub(r"\{\w+\}", "0", path)) for method, path, _ in OPERATIONS),
    *((method, path) for method, path in sorted(OPEN_ROUTES) if not path.startswith(API)),
    ("GET", f"{API}/changes?after=99999999"), ("POST", "/hooks/orders"),
]  # fmt: skip
"""Everything that is answered."""


@pytest.mark.parametrize(("method", "target"), ROUTES)
def test_every_route_is_behind_the_gate(door: Door, method: str, target: str) -> None:
    body = b"{}" if method == "POST" else None
    whole = {**OWN, **bearer(door)}
    for foreign in (
        {"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
    ):  # fmt: skip
        assert door.send(method, target, {**whole, **foreign}, body).code == "request-foreign"
    if method != "GET" and not target.startswith("/hooks"):
        assert door.send(method, target, bearer(door), body).code == "request-foreign"
    if method != "POST":
        return
    assert door.send(method, target, {**whole, "Content-Type": "text/plain"}, body).code == "request-type"
    assert door.send(method, target, whole, b"[" * 40 + b"]" * 40).code == "request-large"
    assert door.send(method, target, whole, b'"' + b"x" * MOST_BODY + b'"').code == "request-large"
    for wrong in (b"[]", b"5", b'"x"', b"null", b'{"nobody": 1}', b"{"):
        answer = door.send(method, target, whole, wrong)
        assert answer.status < 500, answer.body
        assert answer.status >= 400 or target.endswith(("/logout", "/resume")), answer.body


def texts_in(kind: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where a body holds texts, by the names that lead there."""
    if "$ref" in kind:
        kind = SCHEMA["components"]["schemas"][kind["$ref"].rsplit("/", 1)[1]]
    found = [path] if kind.get("type") == "string" and path else []
    for name, each in kind.get("properties", {}).items():
        found += texts_in(each, (*path, name))
    return found


@pytest.mark.parametrize("name", TRAVERSALS)
def test_a_name_is_never_a_path(door: Door, name: str) -> None:
    """Whatever takes a text, in its path, its query or its body, takes it for no file."""
    secret = door.service.workspace.root / "legato.toml"
    for method, path, operation in OPERATIONS:
        told = quote(name, safe="")
        answers = [door.ask(method, re.sub(r"\{\w+\}", told, path.removeprefix(API)), body={} if method == "POST" else None)]
        target = re.sub(r"\{\w+\}", "0", path.removeprefix(API))
        answers += [
            door.ask(method, target, **{each["name"]: name})
            for each in operation.get("parameters", ())
            if each["in"] == "query" and each["schema"].get("type") == "string"
        ]
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        for place in texts_in(content):
            body: Any = name
            for part in reversed(place):
                body = {part: body}
            answers.append(door.ask(method, target, body=body))
        for answer in answers:
            assert answer.status < 500, (path, answer.body)
            assert b"root:" not in answer.body
            assert secret.read_bytes() not in answer.body
            assert answer.status in (200, 202, 400, 401, 404, 409, 503), (path, answer.status)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_that_is_sent_is_a_fault(door: Door, seed: int) -> None:
    chance = random.Random(seed)
    for method, path, operation in OPERATIONS:
        for _ in range(4):
            params = {
                each["name"]: invented(chance, each["schema"])
                for each in operation.get("parameters", ())
                if each["in"] == "query"
            }
            kept = {name: value for name, value in params.items() if chance.random() < 0.7}
            target = path.removeprefix(API).format(run=chance.choice(["5w2k8m-4zq1", "x", "0" * 65]), step="7", token="abc")
            body = None
            if "requestBody" in operation:
                content = operation["requestBody"]["content"]["application/json"]["schema"]
                body = json.loads(json.dumps(invented(chance, content)))
            answer = door.ask(method, target, body=body, **kept)
            assert answer.status < 500, (method, target, kept, body, answer.body)
