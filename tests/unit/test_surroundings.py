"""What user code may change about the whole process: noticed, and put back."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from legato.worker.surroundings import Surroundings

CHANGES: dict[str, Callable[[Path], object]] = {
    "folder": os.chdir,
    "path": lambda folder: sys.path.append(str(folder)),
    "environment": lambda folder: os.environ.update(LEGATO_TEST_SURROUNDINGS="1"),
    "a variable less": lambda folder: os.environ.pop("LEGATO_TEST_THERE"),
    "umask": lambda folder: os.umask(0o077),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed_left_and_put_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: str) -> None:
    monkeypatch.setenv("LEGATO_TEST_THERE", "1")
    before = Surroundings()
    assert before.holds()
    try:
        CHANGES[change](tmp_path)
        assert not before.holds()
        now = Surroundings()
        assert now.holds()
        before.restore()
        assert before.holds()
        assert not now.holds()
        now.restore()
        assert now.holds()
    finally:
        before.restore()
