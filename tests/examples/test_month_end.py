"""The month-end close, for real: the demo as it stands, and its tasks as the plain functions that they are."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "month_end"


@pytest.fixture
def flows(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The example's module `flows`, beside no other example's, and gone afterwards."""
    for name in ("flows", "server"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(FOLDER)
    yield import_module("flows")
    for name in ("flows", "server"):
        sys.modules.pop(name, None)


def test_the_demo_shows_what_it_says(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "month_end", ignore=shutil.ignore_patterns(".legato", "__pycache__"))
    done = subprocess.run([sys.executable, "demo.py"], cwd=folder, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    march, april, may = re.split(r"^# (?:April|May)\. ", done.stdout, flags=re.M)
    assert "interrupted  close_month  approval" in march
    assert "succeeded in" in march
    assert "# Nothing was posted twice: 4 journals; published: ['published/2026-03']" in march
    assert "rolled back in" in april
    made, undone = (
        [line.split()[1] for line in april.splitlines() if re.match(rf"{word} +post#", line)] for word in ("done", "undone")
    )
    assert sorted(made) == [f"post#{n}" for n in (1, 2, 3, 4)]
    assert undone == made[::-1]
    assert "# The ledger holds March alone: 4 journals" in april
    assert "failed  undo of post#2: HTTP Error 423: locked by the auditors" in may
    assert "partly undone in" in may
    assert re.search(r"legato resume \S+ +once that is mended: undo what is left", may)
    assert "# One journal is left of May: 5 journals." in may
    assert "# March alone again: 4 journals" in may


def test_both_sides_of_a_debt_are_reconciled(flows: ModuleType) -> None:
    books = {"AT": [{"partner": "DE", "cents": 5000}], "DE": [{"partner": "AT", "cents": -4990}]}
    assert flows.reconcile(books) == {"AT": 0, "DE": -10}
    books["DE"][0]["cents"] = -4000
    with pytest.raises(ValueError, match=r"AT and DE disagree by 10\.00: more than rounding"):
        flows.reconcile(books)


def test_the_made_up_books_reconcile_in_every_month(flows: ModuleType) -> None:
    books = import_module("server").books
    for month in range(1, 13):
        corrections = flows.reconcile(books(f"2026-{month:02}"))
        assert corrections.keys() == set(flows.ENTITIES)
        assert any(corrections.values())


@pytest.mark.parametrize("body", [b"", b'{"month": "2026-03", '])
def test_a_request_that_breaks_off_puts_nothing_into_the_ledger(flows: ModuleType, body: bytes) -> None:
    with import_module("server").Ledger() as ledger, socket.create_connection(("127.0.0.1", ledger.server_port)) as sender:
        sender.sendall(b"PUT /journals/AT/1 HTTP/1.1\r\nContent-Length: 36\r\n\r\n" + body)
        sender.shutdown(socket.SHUT_WR)
        assert sender.makefile("rb").read() == b""
        assert ledger.records == {}
