"""The warehouse, for the tests of all commands that ask of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from cli_site import records
from warehouse_site import call, make_warehouse


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project; nobody changes it."""
    return make_warehouse(tmp_path_factory.mktemp("warehouse"))


@pytest.fixture
def copied(warehouse: Path, tmp_path: Path) -> Path:
    """A copy of the project, for tests that change it."""
    return Path(shutil.copytree(warehouse, tmp_path / "warehouse"))


@pytest.fixture
def ask(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """The result, or the error, of a command with --json."""

    def ask(*words: str, site: Path = warehouse) -> Any:
        capsys.readouterr()
        code = call(site, *words, "--json")
        [record] = records(capsys.readouterr().out)
        assert record["ok"] is (code == 0)
        return record["result"] if code == 0 else record["error"] | {"exit": code}

    return ask


@pytest.fixture
def say(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What a command prints for people, and its exit code."""

    def say(*words: str, site: Path = warehouse) -> tuple[int, str]:
        capsys.readouterr()
        code = call(site, *words)
        told = capsys.readouterr()
        return code, told.out + told.err

    return say
