"""`legato up` is called by webhooks while its processes are killed: each call that was acknowledged is one run, and one only."""

from __future__ import annotations

import hmac
import json
import signal
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path

import pytest
from parts_site import count_ended, kill, reading, running, up, wait_until
from ports import free_port

PROJECT = """
import legato as lg

@lg.flow(on=lg.webhook("orders", secret=lg.secret("ORDERS_SECRET")))
def take(payload: dict, id: str) -> None:
    assert id == f"c{payload['order']}"
"""
SECRET, COUNT = "kept by nobody 48", 150


def call(port: int, number: int) -> bool:
    """Whether a call was acknowledged; whoever sends it sends it again until it is."""
    body, id, stamp = json.dumps({"order": number}).encode(), f"c{number}", int(time.time())
    made = b64encode(hmac.new(SECRET.encode(), f"{id}.{stamp}.".encode() + body, sha256).digest()).decode()
    headers = {
        "Content-Type": "application/json", "webhook-id": id, "webhook-timestamp": str(stamp), "webhook-signature": f"v1,{made}",
    }  # fmt: skip
    request = urllib.request.Request(f"http://127.0.0.1:{port}/hooks/orders", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status = int(answer.status)
    except urllib.error.HTTPError as error:
        status = error.code
    except (OSError, HTTPException):
        return False
    assert status in (202, 503, 504)
    return status == 202


@pytest.mark.long
def test_each_call_that_is_acknowledged_is_one_run(tmp_path: Path) -> None:
    (tmp_path / "legato.toml").write_text('modules = ["flows"]\nworkers = 1\n')
    (tmp_path / "flows.py").write_text(PROJECT)
    port, sent = free_port(), 0

    def send() -> None:
        nonlocal sent
        while sent < COUNT:
            sent += call(port, sent)

    with running(up(tmp_path, "--port", str(port)), tmp_path / "up.txt", {"ORDERS_SECRET": SECRET}) as service:
        wait_until(lambda: call(port, 0))
        sender = threading.Thread(target=send)
        sender.start()
        for turn in range(6):
            at = (turn + 1) * COUNT // 8
            wait_until(lambda at=at: sent >= at)
            kill(service.pid, ("conductor", "legato.surfaces.http")[turn % 2])
        sender.join(120)
        wait_until(lambda: count_ended(tmp_path) >= COUNT, 120)
        assert call(port, 3)
        time.sleep(2)  # for what would come twice
        with reading(tmp_path) as store:
            runs, decisions = store.runs(limit=1_000), store.decisions("take", limit=1_000)
        service.send_signal(signal.SIGINT)
        service.wait(60)
    assert (len(runs), len(decisions)) == (COUNT, COUNT)
    assert {run.state for run in runs} == {"succeeded"}
    assert {each.key for _, each in decisions} == {f"webhook:orders:c{number}" for number in range(COUNT)}
    assert list((tmp_path / ".legato" / "payloads").iterdir()) == []
    assert SECRET not in (tmp_path / "up.txt").read_text()
