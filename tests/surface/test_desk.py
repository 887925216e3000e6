"""The desk: asked by other processes, answered when it is recorded, harmed by nobody."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from service_site import Service, serving

from legato.ports.store import Store
from legato.service import asks, desk, frames
from legato.service.desk import Asked, Desk
from legato.service.frames import folder_of, is_open
from legato.service.guest import ask
from legato.service.request import Request
from legato.terms.errors import Fault, InvalidProject, LegatoError, NotFound, Unreachable, UsageError


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("shop")) as running:
        yield running


@pytest.fixture
def store(service: Service) -> Iterator[Store]:
    reader = service.workspace.open_reader()
    yield reader
    reader.close()


def state(service: Service) -> Path:
    return service.workspace.state


def submit(service: Service, selection: str, key: str = "") -> asks.Submitted:
    question = asks.SubmitRun(request=Request(selection, force=True), key=key, actor="ada")
    return ask(state(service), question, asks.Submitted)


def wait_for(store: Store, run: str) -> None:
    until = time.monotonic() + 60
    while (found := store.run(run)) is None or found.state == "open":
        assert time.monotonic() < until
        time.sleep(0.005)


def test_somebody_is_there(service: Service) -> None:
    pong = ask(state(service), asks.Ping(), asks.Pong)
    assert pong.pid == os.getpid()
    assert is_open(state(service))


def test_only_the_user_reaches_it(service: Service) -> None:
    folder = folder_of(state(service))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "socket").stat().st_mode & 0o777 == 0o600


def test_a_run_is_submitted_once_for_its_key(service: Service, store: Store) -> None:
    first, again = submit(service, "prices", "k1"), submit(service, "prices", "k1")
    assert (first.new, again.new) == (True, False)
    assert first.run == again.run
    run = store.run(first.run)
    assert run is not None
    assert (run.actor, run.key, run.domains) == ("ada", "k1", ("",))
    assert submit(service, "prices", "k2").run != first.run
    with pytest.raises(LegatoError) as raised:
        submit(service, "sales@2013-01-30", "k1")
    assert raised.value.code == "request-other"


def test_many_who_ask_the_same_at_once_get_one_run(service: Service, store: Store) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(submit(service, "prices", "k3").run)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert len(set(found)) == 1


def test_what_is_done_is_recorded_with_who_did_it(service: Service, store: Store) -> None:
    run = submit(service, "prices", "k4").run
    told = [each for _, each in store.audits() if each.object == "prices --force"]
    assert told
    assert (told[0].actor, told[0].action) == ("ada", "submit")
    wait_for(store, run)
    with pytest.raises(UsageError) as raised:
        ask(state(service), asks.CancelRun(run=run, actor="eve", reason="no"), asks.Heard)
    assert raised.value.code == "run-ended"


def test_nothing_to_do_makes_no_run(service: Service, store: Store) -> None:
    wait_for(store, submit(service, "prices").run)
    found = ask(state(service), asks.SubmitRun(request=Request("prices")), asks.Submitted)
    assert (found.new, found.steps, found.reasons) == (False, 0, {"fresh": 1})


def test_an_error_comes_back_as_it_was(service: Service) -> None:
    with pytest.raises(NotFound) as raised:
        submit(service, "prizes")
    assert raised.value.what == "no asset, task or flow is named 'prizes'" or "prizes" in raised.value.what
    assert raised.value.next
    faults = InvalidProject([Fault("code", "what")])
    assert frames.Refusal.of(faults).error().faults == faults.faults  # type: ignore[attr-defined]


def test_a_rollback_and_keys_are_answered(service: Service, store: Store) -> None:
    for key in ("r1", "r2"):
        wait_for(store, submit(service, "prices", key).run)
    before = store.head("prices", "")
    back = ask(state(service), asks.RollBack(what="prices", actor="ada"), asks.RolledBack)
    assert (back.count, back.left) == (1, ())
    head = store.head("prices", "")
    assert head is not None
    assert before is not None
    assert head.version != before.version
    with pytest.raises(NotFound) as raised:
        ask(state(service), asks.AddKeys(name="customers", keys=("a",), actor="ada"), asks.Done)
    assert raised.value.code == "dynamic-set"


# -- a desk alone --


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path, lambda: None, (asks.Ping,))
    yield opened
    opened.close()


def guest(tmp_path: Path) -> socket.socket:
    return frames.connect(tmp_path, 60.0)


def test_without_a_service_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as raised:
        ask(tmp_path, asks.Ping(), asks.Pong)
    assert raised.value.code == "service-none"


def test_the_socket_of_a_dead_one_is_no_service(tmp_path: Path) -> None:
    folder_of(tmp_path).mkdir(mode=0o700)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(folder_of(tmp_path) / "socket"))
    dead.close()
    with pytest.raises(Unreachable) as raised:
        ask(tmp_path, asks.Ping(), asks.Pong)
    assert raised.value.code == "service-none"
    Desk(tmp_path, lambda: None, (asks.Ping,)).close()
    assert not (folder_of(tmp_path) / "socket").exists()


def test_a_project_may_be_deep_in_the_tree(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100) / ("y" * 100)
    opened = Desk(deep, lambda: None, (asks.Ping,))
    assert is_open(deep)
    opened.close()
    assert not is_open(deep)


def test_who_does_not_come_round_is_silent(tmp_path: Path, alone: Desk) -> None:
    with pytest.raises(Unreachable) as raised:
        ask(tmp_path, asks.Ping(), asks.Pong, timeout_s=0.05)
    assert raised.value.code == "service-silent"


def test_what_was_not_taken_up_is_refused_at_the_end(tmp_path: Path) -> None:
    rung = threading.Event()
    opened = Desk(tmp_path, rung.set, (asks.Ping,))
    found: list[LegatoError] = []

    def asking() -> None:
        try:
            ask(tmp_path, asks.Ping(), asks.Pong)
        except LegatoError as error:
            found.append(error)

    thread = threading.Thread(target=asking)
    thread.start()
    assert rung.wait(60)
    opened.close()
    thread.join(60)
    assert [error.code for error in found] == ["service-stopping"]


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x81\xa3ask\xa4nope", b"\x81\xa3ask\xa4ping" * 3, b"\x91" * 5_000])
def test_what_is_no_question_is_refused(tmp_path: Path, alone: Desk, body: bytes) -> None:
    with guest(tmp_path) as sock:
        sock.sendall(struct.pack(">I", len(body)) + body)
        assert b"request-unknown" in frames.receive(sock)
        assert list(alone.waiting()) == []


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path, alone: Desk) -> None:
    with guest(tmp_path) as sock:
        sock.sendall(struct.pack(">I", desk.MOST_BYTES + 1))
        assert b"request-large" in frames.receive(sock)
        assert sock.recv(1) == b""


def test_silent_and_slow_guests_harm_nobody_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "IDLE_S", 0.2)
    opened = Desk(tmp_path, lambda: None, (asks.Ping,))
    silent, slow = guest(tmp_path), guest(tmp_path)
    slow.sendall(b"\x00\x00")
    with pytest.raises(Unreachable):
        ask(tmp_path, asks.Ping(), asks.Pong, timeout_s=0.05)
    found: list[Asked] = []
    until = time.monotonic() + 60
    while not found:  # the desk reads what was sent also when who sent it has gone
        assert time.monotonic() < until
        found += opened.waiting()
    assert [type(each.ask) for each in found] == [asks.Ping]
    assert silent.recv(1) == b""
    assert slow.recv(1) == b""
    silent.close()
    slow.close()
    opened.close()


def test_too_many_guests_are_not_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "MOST_GUESTS", 2)
    opened = Desk(tmp_path, lambda: None, (asks.Ping,))
    first, second = guest(tmp_path), guest(tmp_path)
    third = guest(tmp_path)
    assert third.recv(1) == b""
    for sock in (first, second, third):
        sock.close()
    opened.close()


def test_too_much_that_waits_is_refused(tmp_path: Path, alone: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "MOST_WAITING", 0)
    with pytest.raises(Unreachable) as raised:
        ask(tmp_path, asks.Ping(), asks.Pong)
    assert raised.value.code == "service-busy"


def test_another_user_is_not_let_in(tmp_path: Path, alone: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "_peer_of", lambda sock: os.geteuid() + 4_711)
    with pytest.raises(Unreachable) as raised:
        ask(tmp_path, asks.Ping(), asks.Pong)
    assert raised.value.code == "service-silent"
    assert list(alone.waiting()) == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # this process has threads, as a service has
def test_a_forked_child_keeps_no_copy_of_the_socket(tmp_path: Path) -> None:
    opened = Desk(tmp_path, lambda: None, (asks.Ping,))
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"!")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    opened._closing = True  # as a kill would: nothing is tidied up
    opened._ring()
    opened._thread.join(60)
    alive = is_open(tmp_path)
    os.write(go[1], b"!")
    os.waitpid(child, 0)
    for descriptor in (*ready, *go):
        os.close(descriptor)
    assert not alive
