"""Requests to the conductor: none is lost, and none outlives its purpose."""

from pathlib import Path

import pytest

from legato.kernel.inputs import Cancel, Resolve
from legato.runtime.clock import SystemClock
from legato.service.inbox import Cancellation, Inbox, Pausing, Resolution, find_unread
from legato.terms.errors import LegatoError
from legato.terms.instant import Instant
from legato.triggers.inputs import Pause
from legato.triggers.inputs import Resume as Unpause

ASKED = Cancellation("r1", "ann", "too slow")


def test_a_request_stays_until_its_turn_is_recorded(tmp_path: Path) -> None:
    Inbox(tmp_path / "inbox").leave(ASKED, SystemClock())
    crashed = Inbox(tmp_path / "inbox")
    assert list(crashed.read()) == [("r1", Cancel("ann", "too slow"))]
    assert list(Inbox(tmp_path / "inbox").read()) == [("r1", Cancel("ann", "too slow"))]


def test_a_recorded_request_is_gone(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.leave(ASKED, SystemClock())
    assert len(list(inbox.read())) == 1
    assert list(inbox.read()) == []
    assert list(tmp_path.iterdir()) == []


def test_who_lets_a_run_go_on_takes_back_what_was_asked_before(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.leave(ASKED, SystemClock())
    inbox.leave(Cancellation("r2", "ann"), SystemClock())
    inbox.forget("r1")
    assert [run for run, _ in inbox.read()] == ["r2"]


def test_what_cannot_be_read_is_set_aside_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inbox = Inbox(tmp_path)
    name = inbox.leave(Cancellation("r2", "ann"), SystemClock())
    (tmp_path / f"{name}.json").write_text('{"type": "of a later Legato", "run": "r2"}')
    inbox.leave(ASKED, SystemClock())
    assert [run for run, _ in inbox.read()] == ["r1"]
    assert list(inbox.read()) == []
    assert find_unread(tmp_path) == [tmp_path / f"{name}.unread"]
    (told,) = caplog.records
    assert f"{name}.unread" in told.getMessage()
    with pytest.raises(LegatoError, match="could not read what was asked"):
        inbox.is_heard(name)


def test_what_can_be_neither_read_nor_set_aside_stays_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    (tmp_path / "1.json").write_text("{")
    monkeypatch.setattr(Path, "rename", refuse)
    inbox = Inbox(tmp_path)
    for _ in range(3):
        assert list(inbox.read()) == []
    inbox.settle()
    assert ((tmp_path / "1.json").exists(), len(caplog.records)) == (True, 1)


def test_a_request_that_is_gone_when_it_is_read_is_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inbox = Inbox(tmp_path)
    (tmp_path / "1.json").symlink_to(tmp_path / "gone")
    assert list(inbox.read()) == []
    assert (find_unread(tmp_path), caplog.records) == ([], [])


ANSWER = Resolution("r2", 7, b"\xc3", "ben", Instant(8))


def test_an_answer_waits_for_the_run_that_it_is_for(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.leave(ANSWER, SystemClock())
    inbox.leave(Resolution("r1", 3, b"\xc2", "ann", Instant(9), "too dear"), SystemClock())
    assert list(inbox.read({"r1"})) == [("r1", Resolve(3, b"\xc2", "ann", Instant(9), "too dear"))]
    assert list(inbox.read({"r1"})) == []
    assert Inbox(tmp_path).answered() == {("r2", 7): "ben"}
    assert list(Inbox(tmp_path).read({"r2"})) == [("r2", Resolve(7, b"\xc3", "ben", Instant(8)))]


def test_a_run_that_goes_on_keeps_its_answers(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.leave(ANSWER, SystemClock())
    inbox.leave(Cancellation("r2", "ann"), SystemClock())
    inbox.forget("r2")
    assert [type(each) for _, each in inbox.read()] == [Resolve]


def test_what_is_about_a_trigger_waits_for_the_service_and_not_for_a_run(tmp_path: Path) -> None:
    inbox, clock = Inbox(tmp_path), SystemClock()
    for paused in (True, False, True):
        inbox.leave(Pausing("orders", "ann", paused), clock)
    assert list(inbox.read()) == []
    inbox.settle()
    assert inbox.pausings() == {"orders": Pausing("orders", "ann", True)}
    assert list(inbox.read_pausings()) == [Pause("orders", "ann"), Unpause("orders", "ann"), Pause("orders", "ann")]
    list(inbox.read())
    assert len(list(tmp_path.iterdir())) == 3, "a run's turn says nothing of what the triggers recorded"
    assert list(inbox.read_pausings()) == []
    assert list(tmp_path.iterdir()) == []
