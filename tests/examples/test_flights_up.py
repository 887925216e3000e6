"""The flights example by itself: a clock, a file and a webhook start runs, and a saved change is live within a second."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from getpass import getuser
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "surface"))

from up_site import Up, wait_until

PATIENCE_S = 120.0
FOLDER = Path(__file__).parents[2] / "examples" / "flights"


@pytest.fixture
def service(tmp_path: Path) -> Up:
    folder = shutil.copytree(
        FOLDER, tmp_path / "flights", ignore=shutil.ignore_patterns(".legato", "__pycache__", "corrections", "plain-output")
    )
    made = subprocess.run([sys.executable, "-m", "legato", "-C", str(folder), "run"], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout
    return Up(folder)


def runs_of(service: Up, flow: str) -> list[str]:
    return [each["state"] for each in service.legato("runs", "-n", "50") or [] if each["request"] == flow]


@pytest.mark.long
def test_it_runs_by_itself(service: Up) -> None:
    try:
        wait_until(lambda: service.get("/api/v1/health") == 200, PATIENCE_S)
        wait_until(lambda: "succeeded" in runs_of(service, "bulletin"), PATIENCE_S)
        subprocess.run([sys.executable, "break_day.py", "2013-03-05"], cwd=service.folder, check=True)
        wait_until(lambda: runs_of(service, "resent") == ["failed"], PATIENCE_S)
        assert service.legato("query", "select count(*) from flights")["rows"] == [[336776]]
        subprocess.run([sys.executable, "break_day.py", "2013-03-05", "--heal"], cwd=service.folder, check=True)
        token = service.legato("tokens", "add", getuser(), "--label", "a test")["secret"]
        call = urllib.request.Request(
            f"http://127.0.0.1:{service.port}/hooks/resent", json.dumps({"day": "2013-03-05"}).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )  # fmt: skip
        assert urllib.request.urlopen(call, timeout=PATIENCE_S).status == 202
        wait_until(lambda: runs_of(service, "resent") == ["succeeded", "failed"], PATIENCE_S)
    finally:
        service.close()


@pytest.mark.timing
def test_each_saved_change_is_live_within_a_second(service: Up) -> None:
    pipeline, took = service.folder / "pipeline.py", []
    try:
        wait_until(lambda: service.get("/api/v1/ready") == 200)  # else the first save may be part of the first load
        for number in range(6):
            time.sleep(0.07 * number)  # the watch looks now and then: each save comes at another moment of its round
            source = f"{pipeline.read_text()}\n\n@lg.task\ndef extra{number}() -> int:\n    return 1\n"
            saved = time.monotonic()
            pipeline.write_text(source)
            wait_until(lambda number=number: f"extra{number} new" in service.said(), every_s=0.005)
            took.append(time.monotonic() - saved)
    finally:
        service.close()
    print("live after " + ", ".join(f"{each:.2f} s" for each in took))
    assert max(took) < 1.0
