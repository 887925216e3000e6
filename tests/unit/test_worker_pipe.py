"""What carries bytes between a worker and its executor, and what a worker leaves in files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.terms.attempt import Done, Order, Returned
from legato.worker import kin
from legato.worker.capture import Capture, trim
from legato.worker.pipe import (
    Frame,
    Splitter,
    decode_orders,
    decode_reports,
    encode_report,
    frame,
    join_reports,
    orders_frame,
    reports_frame,
)
from legato.worker.slate import SLATE_BYTES, Slate
from legato.worker.surroundings import Surroundings
from legato.worker.threads import limit_threads


@given(st.lists(st.binary(max_size=50), max_size=8), st.lists(st.integers(1, 20), min_size=1, max_size=30))
def test_frames_survive_any_cutting(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frame(Frame.DROP, body) for body in bodies)
    splitter, found = Splitter(), []
    while stream:
        size = cuts[len(found) % len(cuts)]
        found += list(splitter.feed(stream[:size]))
        stream = stream[size:]
    assert found == [(Frame.DROP, body) for body in bodies]


def test_batches_come_back_as_they_were() -> None:
    orders = [Order("r", step, step, "node") for step in range(300)]
    ((kind, body),) = Splitter().feed(orders_frame(orders))
    assert kind == Frame.ORDERS
    assert decode_orders(body) == orders
    reports = [Done("r", 1, 1, 0.5, b"\xc0"), Returned("r", 2, 2)]
    bodies = b"".join(map(encode_report, reports))
    ((kind, body),) = Splitter().feed(reports_frame(2, bodies))
    assert kind == Frame.REPORTS
    assert decode_reports(body) == join_reports(2, bodies) == reports


def test_a_slate_is_seen_through_another_descriptor() -> None:
    mine = Slate.create()
    theirs = Slate(os.dup(mine.fd))
    assert (mine.entered, mine.pending()) == (0, (0, b""))
    theirs.enter(3, 77)
    assert theirs.append(b"abc")
    assert theirs.append(b"de")
    assert (mine.entered, mine.log_start, mine.pending()) == (3, 77, (2, b"abcde"))
    theirs.clear()
    assert not mine.has_pending
    assert not theirs.append(b"x" * SLATE_BYTES)
    mine.close()
    theirs.close()


@pytest.mark.parametrize("size", [0, 100, 101, 130, 1000])
def test_trim_keeps_both_ends(tmp_path: Path, size: int) -> None:
    file = tmp_path / "log"
    body = bytes(33 + number % 90 for number in range(size))
    file.write_bytes(b"before" + body)
    end = trim(file, 6, 100)
    after = file.read_bytes()
    assert (len(after), after[:6]) == (end, b"before")
    if size <= 130:
        assert after[6:] == body
    else:
        assert after[6:56] == body[:50]
        assert after[-50:] == body[-50:]
        assert b"900 bytes of output left out" in after


def test_a_capture_gives_the_streams_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capture = Capture(tmp_path, "s/1.log")
    print("before")
    capture.redirect()
    print("inside")
    span = capture.end()
    silent = capture.end()
    capture.restore()
    print("after")
    capture.close()
    assert capfd.readouterr().out == "before\nafter\n"
    assert silent is None
    assert span is not None
    assert (tmp_path / span.file).read_text()[span.start : span.end] == "inside\n"


def test_surroundings_are_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPE_CHANGED", "before")
    monkeypatch.setenv("PIPE_REMOVED", "before")
    now = Surroundings()
    folder, count = os.getcwd(), len(os.environ)
    os.environ["PIPE_CHANGED"] = "after"
    os.environ["PIPE_ADDED"] = "after"
    del os.environ["PIPE_REMOVED"]
    os.chdir(tmp_path)
    now.restore()
    assert (os.getcwd(), len(os.environ)) == (folder, count)
    assert os.environ["PIPE_CHANGED"] == os.environ["PIPE_REMOVED"] == "before"


def test_thread_limits_leave_the_users_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_MAX_THREADS", "7")
    monkeypatch.setenv("OMP_NUM_THREADS", "will be restored")
    del os.environ["OMP_NUM_THREADS"]
    limit_threads(10_000)
    assert (os.environ["POLARS_MAX_THREADS"], os.environ["OMP_NUM_THREADS"]) == ("7", "1")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (11, "was killed by signal 11 (SIGSEGV)"),
        (9, "was killed by signal 9 (SIGKILL), perhaps because memory ran out"),
        (3 << 8, "exited with code 3; did the code call os._exit?"),
    ],
)
def test_a_wait_status_is_said_in_words(status: int, words: str) -> None:
    assert kin.say_status(status) == words
