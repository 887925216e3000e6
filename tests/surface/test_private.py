"""All that Legato keeps is for its user alone, however loose the mask of who started it, and whatever a step does to it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from below import paths_below
from cli_site import command, environment, make_project
from up_site import up, wait_until

PIPELINE = """
import os
from pathlib import Path
import legato as lg

@lg.asset
def folder() -> Path:
    os.umask(0)
    made = Path("made")
    (made / "in").mkdir(parents=True, exist_ok=True)
    (made / "in" / "a.txt").write_text("a")
    os.chmod(made / "in" / "a.txt", 0o666)
    print("output")
    return made

@lg.task
def told() -> str:
    lg.image("picture", b"<svg></svg>")
    return "y" * 200_000

@lg.flow
def waits() -> None:
    lg.sleep(3600)
"""


def open_to_others(folder: Path) -> dict[str, str]:
    """What others may look into, or could if they came so far: the folder itself above all."""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    found = {}
    for path in paths_below(folder):
        try:
            mode = stat.S_IMODE(path.lstat().st_mode)
        except FileNotFoundError:  # somebody is at work here
            continue
        inside_a_value = ".path" in str(path)  # a copy of what a step made, as it made it
        if mode & 0o077 and not path.is_symlink() and not inside_a_value:
            found[str(path.relative_to(folder))] = oct(mode)
    return found


@pytest.mark.parametrize("executor", ["inline", "process"])
def test_state_data_and_logs_are_for_their_user_alone(tmp_path: Path, executor: str) -> None:
    site = make_project(tmp_path, PIPELINE, f'name = "p"\nmodules = ["pipeline"]\nexecutor = "{executor}"\nworkers = 1\n')
    for words in (["run"], ["status"], ["doctor"]):
        before = os.umask(0)
        try:
            subprocess.run(command(*words), cwd=site, env=environment(), check=True, capture_output=True, timeout=120)
        finally:
            os.umask(before)
    assert open_to_others(site / ".legato") == {}


def test_so_is_what_a_service_keeps(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with up(tmp_path, PIPELINE, "up") as service:
            wait_until(lambda: service.call("run", "folder")[0] == 0)
            assert open_to_others(tmp_path / ".legato") == {}
            service.end()
    finally:
        os.umask(before)
    assert open_to_others(tmp_path / ".legato") == {}
