"""Help is quick, complete, and costs nothing that it does not use."""

from __future__ import annotations

import subprocess
import sys
import time

import click
import pytest

from legato.surfaces.cli.main import COMMANDS, call, legato

SPEC = (
    "init demo check list show diff plan run backfill status why runs logs facts resume cancel waits approve signal "
    "triggers next decisions pause unpause up dev versions rollback keys query users tokens login-link audit api "
    "doctor export restore clean explain"
)


def test_every_command_is_there() -> None:
    assert sorted(COMMANDS) == sorted(SPEC.split())


def test_help_lists_commands_in_sections(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--help"]) == 0
    told = capsys.readouterr().out
    assert [line for line in told.splitlines() if line.endswith(":")][1:] == [
        "Start:", "Look:", "Run:", "By itself:", "Data:", "Doors:", "Mend:",
    ]  # fmt: skip
    for name, entry in COMMANDS.items():
        assert f"  {name} " in told
        assert entry.help in told


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_answers_in_json_and_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = legato.get_command(click.Context(legato), name)  # type: ignore[attr-defined]
    assert {"--json", "--debug", "--project"} <= {option for param in found.params for option in param.opts}
    assert call([name, "--help"]) == 0
    assert f"Usage: legato {name}" in capsys.readouterr().out


def test_help_imports_no_command() -> None:
    script = "import sys; from legato.surfaces.cli.main import call; call(['--help']); print(*sys.modules, file=sys.stderr)"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr.split()
    assert [name for name in modules if name.startswith(("legato.service", "legato.kernel", "legato.plan", "rich"))] == []
    assert [name for name in modules if name in ("sqlite3", "polars", "duckdb", "pyarrow", "asyncio", "multiprocessing")] == []


@pytest.mark.timing
def test_help_is_quick() -> None:
    """150 ms on an idle machine; held against a bare interpreter, since none is idle."""

    def seconds(*words: str) -> float:
        best = 9.0
        for _ in range(5):
            started = time.perf_counter()
            subprocess.run([sys.executable, *words], capture_output=True, check=True)
            best = min(best, time.perf_counter() - started)
        return best

    assert seconds("-m", "legato.surfaces.cli.main", "--help") < max(0.15, 10 * seconds("-c", "pass"))
