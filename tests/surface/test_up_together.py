"""`legato up` on the real process tree: what a run makes together is made once; what it leaves unmade, a trigger makes."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from up_site import Up, up, wait_until

PROJECT = """
from pathlib import Path
import legato as lg

HERE = Path(__file__).parent
letters = lg.static(["x", "y", "z"])

def note(name: str) -> None:
    with open(HERE / "made", "a") as made:
        made.write(name + "\\n")

@lg.asset(partitions=letters)
def base(letter: lg.Partition) -> str:
    note(f"base {letter.key}")
    return letter.key

@lg.asset(partitions=letters, on=lg.updated())
def own(letter: lg.Partition, base: str) -> str:
    note(f"own {letter.key}")
    if letter.key == "y" and (HERE / "broken").exists():
        (HERE / "broken").unlink()
        raise ValueError("y is broken")
    return base

@lg.asset(on=lg.updated())
def last(own: dict) -> int:
    note("last")
    return len(own)

"""


def made(service: Up) -> list[str]:
    """What was begun so far, in order of names."""
    return sorted((service.folder / "made").read_text().split("\n")[:-1])


def is_quiet(service: Up) -> bool:
    """Whether nothing runs, and no decision waits for its run."""
    waiting = [each for name in ("own", "last") for each in service.decisions(name) if each["waits"]]
    runs = service.legato("runs", "-n", "50") or [{"state": "open"}]
    return not waiting and all(run["state"] not in ("open", "running") for run in runs)


def outcomes(service: Up, name: str) -> list[str]:
    return sorted(each["why"] or each["outcome"] for each in service.decisions(name))


@pytest.mark.long
def test_what_a_run_makes_together_is_made_once(tmp_path: Path) -> None:
    with up(tmp_path, PROJECT, "up", workers=2) as service:
        assert service.call("run", "base", "own", "last")[0] == 0
        wait_until(lambda: len(service.decisions("own")) == 3 and len(service.decisions("last")) == 3)
        wait_until(lambda: is_quiet(service))
        assert made(service) == ["base x", "base y", "base z", "last", "own x", "own y", "own z"]
        assert outcomes(service, "own") == outcomes(service, "last") == ["same-run"] * 3
        [run] = service.legato("runs", "-n", "50")
        assert f"but run {run['id']}, which made it, makes own@" in service.decisions("own")[0]["sentence"]
        assert service.call("run", "base", "--force")[0] == 0
        wait_until(lambda: outcomes(service, "last").count("fired") == 3)
        wait_until(lambda: is_quiet(service))
        assert made(service).count("own y") == 2
        assert outcomes(service, "own") == ["fired"] * 3 + ["same-run"] * 3


@pytest.mark.long
def test_what_fails_in_the_run_is_made_by_the_trigger(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with up(tmp_path, PROJECT, "up", workers=2) as service:
        assert service.call("run", "base", "own")[0] == 1
        wait_until(lambda: outcomes(service, "own").count("fired") == 1)
        [fired] = [each for each in service.decisions("own") if each["outcome"] == "fired"]
        assert "ended before this was made); asked for own@y" in fired["sentence"]
        wait_until(lambda: is_quiet(service))
        assert outcomes(service, "own") == ["fired", *["same-run"] * 3]
        assert made(service).count("own x") == made(service).count("own z") == 1
        assert made(service).count("own y") == 2


@pytest.mark.long
def test_a_conductor_that_is_killed_changes_nothing_of_that(tmp_path: Path) -> None:
    slow = PROJECT.replace(
        '    note(f"own {letter.key}")\n', '    import time\n    time.sleep(2)\n    note(f"own {letter.key}")\n'
    )
    with up(tmp_path, slow, "up", workers=2) as service:
        with service.start("run", "base", "own", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as asking:
            wait_until(lambda: len(service.decisions("own")) == 3)
            os.kill(service.conductor(), signal.SIGKILL)
            wait_until(lambda: service.get("/api/v1/health") == 200 and {"own x", "own y", "own z"} <= set(made(service)))
            wait_until(lambda: len(service.decisions("last")) == 3 and is_quiet(service))
            asking.kill()
        assert outcomes(service, "own") == ["same-run"] * 3
        assert len(service.legato("runs", "-n", "50")) == 1 + 3
