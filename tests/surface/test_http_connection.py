"""Who connects and does not say what they want: they are cut in time, and shut nobody out meanwhile."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from http_site import Door, open_door
from test_http_stream import following, settled, submit, take

from legato.surfaces.http.connection import PLACES
from legato.surfaces.http.gate import API

SHORT_S, NEVER_S = 4.0, 3_600.0
MANY = PLACES + 40
HEALTH = f"GET {API}/health HTTP/1.1\r\nHost: {{host}}\r\n\r\n"
HALVES = {
    "nothing": "",
    "half a line": "POST /hoo",
    "half a head": "POST /hooks/x HTTP/1.1\r\nHost: {host}\r\n",
    "half a body": "POST /hooks/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n[1,",
    "no chunk": "POST /hooks/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a body that is refused": "POST /nowhere HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99\r\n\r\n[1,",
}


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Door]:
    with open_door(tmp_path, whole_within_s=SHORT_S) as opened:
        yield opened


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Door]:
    with open_door(tmp_path, whole_within_s=NEVER_S) as opened:
        yield opened


def connect(door: Door, said: str) -> socket.socket:
    """A connection on which this was said."""
    made = socket.create_connection(("127.0.0.1", door.port), timeout=60)
    made.sendall(said.format(host=door.host).encode())
    return made


def is_well(one: socket.socket, door: Door) -> bool:
    """Whether another whole request is answered."""
    one.sendall(HEALTH.format(host=door.host).encode())
    answer = b""
    while not answer.endswith(b"}"):
        answer += one.recv(65_536) or pytest.fail(f"cut after {answer!r}")
    return b" 200 " in answer


def is_cut(one: socket.socket, trickle: bytes = b"") -> bool:
    """Whether the other side ends it, while this is said again and again."""
    until = time.monotonic() + 60
    try:
        while time.monotonic() < until:
            if trickle:
                one.sendall(trickle)
            if select.select([one], [], [], 0.02)[0] and not one.recv(65_536):
                return True
    except ConnectionError:
        return True
    return False


def test_a_request_that_is_not_whole_in_time_is_cut(hasty: Door) -> None:
    with ExitStack() as open_ones:
        first = {how: open_ones.enter_context(connect(hasty, said)) for how, said in HALVES.items()}
        second = {}
        for how, said in HALVES.items():
            one = second[how] = open_ones.enter_context(connect(hasty, ""))
            assert is_well(one, hasty)
            one.sendall((said or "POST").format(host=hasty.host).encode())
        assert [how for how, one in [*first.items(), *second.items()] if not is_cut(one)] == []
    assert hasty.send("GET", f"{API}/health").status == 200


def test_who_trickles_is_cut_too(hasty: Door) -> None:
    """The time is that of the whole request: another byte gains nothing."""
    halves = HALVES["half a head"], HALVES["half a body"].replace("Content-Length: 9", "Content-Length: 900000")
    with ExitStack() as open_ones, ThreadPoolExecutor() as pool:
        held = [open_ones.enter_context(connect(hasty, said)) for said in halves]
        assert list(pool.map(lambda one: is_cut(one, b"1"), held)) == [True, True]


def test_a_long_answer_is_not_cut(hasty: Door) -> None:
    with following(hasty, 0) as events:
        submit(hasty)
        take(events, settled(hasty))
        with connect(hasty, HALVES["half a head"]) as later:
            assert is_cut(later)
        submit(hasty)
        take(events, settled(hasty))


def test_an_idle_connection_between_two_requests_is_left_to_the_server(hasty: Door) -> None:
    with connect(hasty, "") as idle:
        assert is_well(idle, hasty)
        with connect(hasty, HALVES["half a head"]) as later:
            assert is_cut(later)
        assert is_well(idle, hasty)


@pytest.mark.parametrize("said", ["", HALVES["half a head"], HALVES["half a body"], HEALTH])
def test_nobody_is_shut_out_by_those_who_hold_a_place(patient: Door, said: str) -> None:
    """Also before their time is over: whoever has said nothing for longest gives way."""
    with ExitStack() as open_ones:
        for _ in range(MANY):
            open_ones.enter_context(connect(patient, said))
        assert patient.send("GET", f"{API}/health").status == 200
        assert len(patient.server.server_state.connections) <= PLACES
    with following(patient, 0) as events, ExitStack() as open_ones:
        for _ in range(MANY):
            open_ones.enter_context(connect(patient, said))
        submit(patient)
        take(events, settled(patient))
