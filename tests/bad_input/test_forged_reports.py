"""Workers that say what is not so: garbage, what was said before, the ends of others' attempts. Nobody believes any of it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from legato.executors.crew import Worker
from legato.terms.attempt import Done, LogSpan, Lost, Order, Raised, Returned
from legato.terms.fact import Error
from legato.worker.pipe import MOST_FRAME_BYTES, Frame, encode_report, frame, reports_frame
from legato.worker.preload import WorkerSettings

GARBAGE = [
    b"\xff" * 64, b"\x05\x00\x00\x00\x00\xc1\xc1\xc1\xc1\xc1", frame(Frame.REPORTS, b"\x93\x01\x02\x03"),
    frame(Frame.REPORTS, b""),
    frame(Frame.REPORTS, b"\xdd\xff\xff\xff\xff"), (MOST_FRAME_BYTES + 1).to_bytes(4, "little") + b"\0",
    Random(2).randbytes(4096), frame(Frame.REPORTS, b"\x91" * 5000), frame(Frame.REPORTS, b"\x91\x81\xa4done\xc0"),
]  # fmt: skip
PIPELINE = """
import os, socket, struct, time
import legato as lg

def pipes():
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                yield socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue

@lg.task
def garbage():
    for pipe in pipes():
        pipe.send(bytes.fromhex("%s"))
    time.sleep(600)

@lg.asset
def sound() -> list:
    return [1]
"""


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    worker = Worker(1, WorkerSettings(str(tmp_path), "s"))
    worker.hand([Order("r", 0, 1, "t"), Order("r", 1, 2, "t")], 0.1)
    yield worker
    with suppress(OSError, ValueError):  # it was buried
        worker.close()


def done(step: int, token: int, run: str = "r") -> bytes:
    return encode_report(Done(run, step, token, 0.1, b"\xc0"))


def reports_of(worker: Worker, *bodies: bytes) -> list:
    worker.far.send(reports_frame(len(bodies), b"".join(bodies)))
    return worker.receive()


@pytest.mark.parametrize("garbage", GARBAGE)
def test_who_sends_garbage_is_heard_no_more_and_its_attempts_are_lost(worker: Worker, garbage: bytes) -> None:
    assert len(reports_of(worker, done(0, 1))) == 1
    worker.far.send(garbage)
    assert worker.receive() == []
    if worker.is_open:  # the beginning of something, so far
        worker.far.close()
        worker.receive()
    assert not worker.is_open
    (end,) = worker.bury(9)
    assert isinstance(end, Lost)
    assert (end.step, end.token) == (1, 2)


def test_who_dies_amid_a_report_said_no_garbage_and_what_had_not_begun_comes_back(worker: Worker) -> None:
    report = reports_frame(1, done(0, 1))
    worker.far.send(report[:-3])
    worker.far.close()
    assert worker.receive() == []
    assert [(type(end), end.token) for end in worker.bury(9)] == [(Returned, 1), (Returned, 2)]


def test_an_end_counts_once(worker: Worker) -> None:
    assert [each.token for each in reports_of(worker, done(0, 1), done(0, 1))] == [1]
    assert reports_of(worker, done(0, 1)) == []


@pytest.mark.parametrize(
    ("step", "token", "run"), [(0, 2, "r"), (1, 1, "r"), (0, 1, "other"), (7, 9, "r"), (-1, -1, ""), (0, 0, "r")]
)
def test_nobody_ends_what_they_do_not_hold(worker: Worker, step: int, token: int, run: str) -> None:
    assert reports_of(worker, done(step, token, run)) == []
    failed = Raised(run, step, token, 0.1, Error("raised", "evil"), LogSpan("../../etc/passwd", 0, 10))
    assert reports_of(worker, encode_report(failed)) == []
    assert len(worker.held) == 2


def test_a_slate_that_was_written_over_is_no_report(worker: Worker) -> None:
    worker.slate._map[:] = Random(2).randbytes(len(worker.slate._map))
    ends = worker.bury(9)
    assert [(type(end), end.step, end.token) for end in ends] == [(Lost, 0, 1), (Lost, 1, 2)]


@pytest.mark.parametrize("entered", [-1, 3, 1 << 62])
def test_what_was_never_sent_cannot_have_begun_and_no_try_is_free_by_that(worker: Worker, entered: int) -> None:
    worker.slate.enter(entered, -5)
    ends = worker.bury(9)
    assert [(type(end), end.token) for end in ends] == [(Lost, 1), (Lost, 2)]


@pytest.mark.parametrize("garbage", [GARBAGE[0], GARBAGE[2]])
def test_a_run_survives_a_worker_that_forges(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "legato.toml").write_text('name = "p"\nmodules = ["pipeline"]\nworkers = 1\n')
    (tmp_path / "pipeline.py").write_text(PIPELINE % garbage.hex())
    ran = subprocess.run(
        [sys.executable, "-m", "legato", "-C", str(tmp_path), "run", "--json"], capture_output=True, text=True, timeout=120
    )
    result = json.loads(ran.stdout.splitlines()[-1])["result"]
    assert result["counts"] == {"succeeded": 1, "failed": 1}, ran.stdout + ran.stderr
    assert "no report" in ran.stdout
