"""The lead enrichment, for real: the demo as it stands, and what the directory counts when nobody keeps to its limit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "lead_enrichment"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The example, in a folder of its own. A call has three seconds, not one: much else is going on here."""
    folder = Path(shutil.copytree(FOLDER, tmp_path / "leads", ignore=shutil.ignore_patterns(".legato", "__pycache__")))
    replace(folder / "flows.py", 'timeout="1s",', 'timeout="3s",')
    return folder


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def play(folder: Path) -> tuple[str, Counter[str]]:
    """What the demo prints, and what the service says that it has answered."""
    done = subprocess.run([sys.executable, "demo.py"], cwd=folder, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    counted = re.search(r"The service's own count: (.*)\.", done.stdout)
    assert counted is not None
    return done.stdout, Counter({outcome: int(number) for number, outcome in (each.split() for each in counted[1].split(", "))})


def test_the_demo_shows_what_it_says(folder: Path) -> None:
    told, answered = play(folder)
    assert "Violations of its limit of 40 requests a second: 0" in told
    assert (answered["broken"], answered["busy"], answered["hangs"], answered["unknown"]) == (10, 1, 1, 1)
    assert re.search(r"succeeded in .*: 54 succeeded", told)
    assert "told    score: guessed 2" in told
    assert re.search(r"enrich#33  failed, tried again.*flows.Again: 429 .*enrich#33 \(try 2\)  succeeded", told, re.S)
    assert re.search(r"enrich#47  failed, fallback next.*flows.Unknown.*enrich#47 fallback \(try 2\)  succeeded", told, re.S)
    assert re.search(r"^hazel.example +900 +energy +1080 +false$", told, re.M)


def test_without_its_rate_the_service_counts_violations(folder: Path) -> None:
    replace(folder / "flows.py", 'pool=lg.rate("20/s"),', "")
    replace(folder / "server.py", "LIMIT = 40", "LIMIT = 3")
    _, answered = play(folder)
    assert answered["violation"] > 0
