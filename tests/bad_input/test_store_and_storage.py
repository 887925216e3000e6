"""State and data that were damaged, moved or locked behind Legato's back: each is named with a way out, and `doctor` finds it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import legato.surfaces.cli.main as cli
from legato.runtime.clock import SystemClock
from legato.service.request import Request
from legato.service.running import run, session
from legato.service.workspace import Workspace
from legato.terms.instant import Instant, after
from legato.wiring.code import open_workspace

PIPELINE = """
import polars as pl

import legato as lg

keys = lg.static(["a", "b"])


@lg.asset(partitions=keys)
def rows(key: lg.Partition) -> pl.DataFrame:
    return pl.DataFrame({"key": [key.key] * 3, "n": [1, 2, 3]})


@lg.asset
def total(rows: pl.DataFrame) -> int:
    return rows["n"].sum()


@lg.asset
def names() -> list:
    return ["x"]


@lg.task
def large() -> bytes:
    return b"x" * 200_000


@lg.task
def reads(large: bytes) -> int:
    return len(large)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was run once, whole."""
    site = tmp_path_factory.mktemp("sound")
    (site / "legato.toml").write_text('name = "sound"\nmodules = ["pipeline"]\nexecutor = "inline"\n')
    (site / "pipeline.py").write_text(PIPELINE)
    assert cli.call(["-C", str(site), "run", "--json"]) == 0
    return site


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "site"))


class Told:
    """What a command answered with --json."""

    def __init__(self, capsys: pytest.CaptureFixture[str], site: Path, *words: str) -> None:
        capsys.readouterr()
        self.exit = cli.call(["-C", str(site), *words, "--json"])
        record = [json.loads(line) for line in capsys.readouterr().out.splitlines()][-1]
        self.result: Any = record.get("result")
        self.error: dict[str, str] = record.get("error", {})

    def found(self, subject: str) -> list[tuple[str, str, str]]:
        """Findings of the doctor on a subject: level, what, fix."""
        return [(each["level"], each["what"], each["fix"]) for each in self.result["findings"] if each["subject"] == subject]

    @property
    def faults(self) -> list[str]:
        return [each["subject"] for each in self.result["findings"] if each["level"] == "fault"]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda site, *words: Told(capsys, site, *words)


def stored(site: Path, asset: str, partition: str = "_") -> Path:
    """The file of the only version of an asset partition."""
    [path] = (site / ".legato" / "data" / asset / partition).iterdir()
    return path


# -- the storage folder, edited by hand --


def test_everything_is_sound_before_anybody_interferes(site: Path, ask: Any) -> None:
    told = ask(site, "doctor", "--deep")
    assert (told.exit, told.faults) == (0, [])
    assert {each["level"] for each in told.result["findings"] if each["subject"] not in ("disk", "file system")} == {"ok"}
    assert told.found("published")[0][1].startswith("4 versions")
    assert told.found("leftovers") == [("ok", "none", "")]


def test_a_deleted_file_is_named_and_the_advice_mends_it(site: Path, ask: Any) -> None:
    path = stored(site, "rows", "b")
    path.unlink()
    told = ask(site, "doctor")
    [(level, what, fix)] = told.found("published")
    assert (told.exit, level, what) == (1, "fault", f"the stored value of rows@b is missing ({path})")
    answer = ask(site, "query", "select count(*) from rows")
    assert (answer.exit, answer.error["code"], answer.error["where"]) == (1, "storage-missing", str(path))
    assert ask(site, "query", "select * from names").exit == 0
    assert ask(site, "query", "select 1 as rows").exit == 0
    failed = ask(site, "run", "--force", "total")
    assert (failed.exit, "rows@b is missing" in failed.result["failures"][0]["message"]) == (1, True)
    command = fix.partition(",")[0]
    assert command == "legato run --force rows@b"
    assert ask(site, *command.split()[1:]).exit == 0
    assert ask(site, "doctor").exit == 0
    assert ask(site, "query", "select count(*) from rows").result["rows"] == [[6]]


def test_a_truncated_file_is_named(site: Path, ask: Any) -> None:
    path = stored(site, "rows", "a")
    size = path.stat().st_size
    os.truncate(path, 100)
    what = f"the stored value of rows@a was changed: it has 100 bytes instead of {size} ({path})"
    told = ask(site, "doctor")
    assert (told.exit, told.found("published")[0][:2]) == (1, ("fault", what))
    assert ask(site, "query", "from rows").error["code"] == "storage-changed"


def test_a_file_changed_in_place_is_found_by_a_deep_look(site: Path, ask: Any) -> None:
    path = stored(site, "names")
    path.write_bytes(path.read_bytes().replace(b"x", b"y"))
    assert ask(site, "doctor").exit == 0
    told = ask(site, "doctor", "--deep")
    assert (told.exit, told.faults) == (1, ["published"])
    assert "its size is right, but its content is not" in told.found("published")[0][1]


def test_a_version_that_was_changed_is_not_published_again(site: Path, ask: Any) -> None:
    path = stored(site, "names")
    assert ask(site, "run", "--force", "names").exit == 0
    path.write_bytes(path.read_bytes().replace(b"x", b"y"))
    refused = ask(site, "rollback", "names", "--yes")
    assert (refused.exit, refused.error["code"]) == (1, "storage-changed")
    told = ask(site, "doctor", "--deep")
    assert (told.exit, [level for level, _, _ in told.found("history")]) == (0, ["warning"])


def test_a_storage_that_is_no_longer_configured_is_named(site: Path, ask: Any) -> None:
    config = (site / "legato.toml").read_text()
    (site / "legato.toml").write_text(f'{config}\n[storages.lake]\nkind = "files"\n')
    text = (site / "pipeline.py").read_text()
    (site / "pipeline.py").write_text(text.replace("@lg.asset\ndef names", '@lg.asset(storage="lake")\ndef names'))
    assert ask(site, "run", "--force", "names").exit == 0
    assert ask(site, "doctor").found("strangers") == []
    (site / "legato.toml").write_text(config)
    (site / "pipeline.py").write_text(text)
    assert ask(site, "query", "from names").error["code"] == "storage-unknown"
    assert "storage 'lake', which is not configured" in ask(site, "doctor").found("published")[0][1]


# -- files that nobody knows --


@pytest.fixture
def littered(site: Path) -> Path:
    """A site with a staged file and a half-written one of attempts that were never recorded, and a stranger's notes."""
    known = stored(site, "rows", "a")
    run = known.stem.rpartition("-")[0]
    (known.parent / f"{run}-77.parquet").write_bytes(b"staged")
    (known.parent / f".{run}-78.tmp").write_bytes(b"half")
    (known.parent / "notes.txt").write_text("mine")
    (known.parent / "aaaaaa-0000-1.parquet").write_bytes(b"of another project")
    return site


def test_what_killed_attempts_left_is_removed_on_request_alone(littered: Path, ask: Any) -> None:
    folder = littered / ".legato" / "data" / "rows" / "a"
    before = sorted(path.name for path in folder.iterdir())
    told = ask(littered, "doctor")
    assert (told.exit, told.found("leftovers")[0][0], told.found("strangers")[0][0]) == (0, "warning", "warning")
    assert "2 files" in told.found("strangers")[0][1]
    assert ask(littered, "doctor", "--fix").error["next"] == "legato doctor --fix --yes"
    assert sorted(path.name for path in folder.iterdir()) == before
    told = ask(littered, "doctor", "--fix", "--yes")
    assert [Path(path).name.lstrip(".").rpartition("-")[2] for path in told.result["removed"]] == ["78.tmp", "77.parquet"]
    assert told.found("leftovers") == []
    assert {path.name for path in folder.iterdir()} == {name for name in before if "-77" not in name and "-78" not in name}
    assert ask(littered, "query", "select count(*) from rows").result["rows"] == [[6]]


def test_data_of_an_asset_that_was_renamed_is_nobodys_leftover(site: Path, ask: Any) -> None:
    (site / "pipeline.py").write_text(PIPELINE.replace("def names", "def words"))
    told = ask(site, "doctor", "--fix", "--yes")
    assert (told.exit, told.found("leftovers"), told.result["removed"]) == (0, [("ok", "none", "")], [])


def test_values_that_tasks_handed_on_are_nobodys_leftover(site: Path, ask: Any) -> None:
    assert stored(site, "large").stat().st_size == 200_000
    assert ask(site, "doctor").found("leftovers") == [("ok", "none", "")]


def test_values_that_flows_hand_over_are_nobodys_leftover(site: Path, ask: Any) -> None:
    made = "@lg.asset\ndef copied(found: bytes) -> int:\n    return len(found)\n\n\n"
    flow = '@lg.flow\ndef hands() -> None:\n    copied.materialize(found=b"y" * 200_000)\n'
    (site / "pipeline.py").write_text(f"{PIPELINE}\n\n{made}{flow}")
    assert ask(site, "run", "hands").exit == 0
    (path,) = (path for path in (site / ".legato" / "data" / "hands" / "_").iterdir())
    told = ask(site, "doctor")
    assert (told.found("leftovers"), told.found("strangers")) == ([("ok", "none", "")], [])
    path.rename(path.with_name(path.name.replace("-1.", "-2.")))
    assert ask(site, "doctor").found("leftovers")[0][0] == "warning"


TELLING = """
import legato as lg

PNG = bytes.fromhex("89504e470d0a1a0a")


@lg.task
def size(text: str) -> int:
    lg.image("of a task", PNG)
    return len(text)


@lg.flow
def tells() -> None:
    lg.image("of a flow", PNG)
    size("x" * 200_000)
"""


def test_what_flows_hand_on_and_pictures_are_nobodys_leftover(tmp_path: Path, ask: Any) -> None:
    (tmp_path / "legato.toml").write_text('name = "tells"\nmodules = ["pipeline"]\nexecutor = "inline"\n')
    (tmp_path / "pipeline.py").write_text(TELLING)
    assert ask(tmp_path, "run", "tells").exit == 0
    assert len(list((tmp_path / ".legato" / "data").glob("*/_/*"))) == 3
    told = ask(tmp_path, "doctor")
    assert (told.found("leftovers"), told.found("strangers")) == ([("ok", "none", "")], [])
    kept = stored(tmp_path, "size")
    kept.rename(kept.with_name(kept.name.replace("-i1", "-i2")))
    assert "1 file" in ask(tmp_path, "doctor").found("leftovers")[0][1]


def test_values_that_a_resumed_flow_hands_over_again_are_nobodys_leftover(site: Path, ask: Any) -> None:
    made = "@lg.asset\ndef copied(found: bytes) -> int:\n    return len(found)\n\n\n"
    task = '@lg.task(on_failure="rollback")\ndef fails() -> None:\n    raise ValueError\n\n\n'
    flow = '@lg.flow\ndef hands() -> None:\n    copied.materialize(found=b"y" * 200_000)\n    fails()\n'
    (site / "pipeline.py").write_text(f"{PIPELINE}\n\n{made}{task}{flow}")
    assert ask(site, "run", "hands").exit == 1
    assert ask(site, "resume").exit == 1
    assert len(list((site / ".legato" / "data" / "hands" / "_").iterdir())) == 2
    assert ask(site, "doctor").found("leftovers") == [("ok", "none", "")]


def test_nothing_is_removed_while_something_runs(littered: Path, ask: Any) -> None:
    writer = open_workspace(littered).open_writer("legato run rows")
    told = ask(littered, "doctor", "--fix", "--yes")
    writer.close()
    assert told.result["removed"] == []
    assert told.found("leftovers") == [("ok", "not looked for, since something is running", "")]
    assert f"process {os.getpid()} (`legato run rows`)" in told.found("holder")[0][1]


# -- the store --


def test_a_store_that_is_newer_than_the_code_is_refused(site: Path, ask: Any) -> None:
    with sqlite3.connect(site / ".legato" / "state.db") as db:
        db.execute("pragma user_version = 99")
    db.close()
    for words in (("run",), ("why", "total"), ("query", "from total"), ("logs", "last"), ("rollback", "total", "--yes")):
        told = ask(site, *words)
        assert (words, told.exit, told.error["code"]) == (words, 5, "store-newer")
        assert "pip install --upgrade legato" in told.error["next"]
    told = ask(site, "doctor")
    assert (told.exit, told.faults) == (1, ["migrations"])
    assert "99" in told.found("migrations")[0][1]


@pytest.mark.parametrize("size", [0, 5_000])
def test_a_truncated_store_is_told_with_a_way_out(site: Path, ask: Any, size: int) -> None:
    os.truncate(site / ".legato" / "state.db", size)
    for words in (("run",), ("why", "total"), ("versions", "total")):
        told = ask(site, *words)
        assert (words, told.exit, told.error["code"]) == (words, 5, "store-damaged")
        assert "sqlite3" in told.error["next"]
    told = ask(site, "doctor")
    assert (told.exit, told.faults) == (1, ["store"])
    assert told.found("project")[0][0] == "ok"


def test_a_damaged_page_is_found_by_a_deep_look(site: Path, ask: Any) -> None:
    assert "pages were not read" in ask(site, "doctor").found("store")[0][1]
    with sqlite3.connect(site / ".legato" / "state.db") as db:
        db.execute("pragma wal_checkpoint(truncate)")
        (page,) = db.execute("select rootpage from sqlite_master where name = 'version_by_partition'").fetchone()
        (size,) = db.execute("pragma page_size").fetchone()
    db.close()
    with (site / ".legato" / "state.db").open("r+b") as file:
        file.seek((page - 1) * size + size - 20)
        file.write(bytes(20))
    told = ask(site, "doctor", "--deep")
    assert (told.exit, told.faults) == (1, ["store"])
    assert "restore a copy" in told.found("store")[0][2]


def test_a_store_held_by_a_live_process_is_refused_by_name(site: Path, ask: Any) -> None:
    writer = open_workspace(site).open_writer("legato run total")
    told = ask(site, "run", "--force", "total", "--no-wait")
    writer.close()
    assert (told.exit, told.error["code"]) == (5, "store-locked")
    assert f"process {os.getpid()} (`legato run total`)" in told.error["what"]
    assert ask(site, "doctor").found("holder") == []


def test_a_history_that_cannot_be_read_is_a_fault_that_harms_no_data(site: Path, ask: Any) -> None:
    with sqlite3.connect(site / ".legato" / "state.db") as db:
        db.execute("update event set body = x'c1' where seq = (select max(seq) from event)")
    db.close()
    told = ask(site, "doctor")
    [(level, what, _)] = told.found("runs")
    assert (told.exit, level, "cannot be read" in what) == (1, "fault", True)
    assert [ask(site, each, "last").error["code"] for each in ("logs", "status")] == ["run-damaged"] * 2
    assert ask(site, "query", "select count(*) from rows").result["rows"] == [[6]]
    assert ask(site, "run", "--force", "total").exit == 0


def test_a_run_left_open_is_told_with_how_to_resume_it(site: Path, ask: Any) -> None:
    from legato.plan.records import Plan
    from legato.ports.store import Run
    from legato.terms.codec import pack

    workspace = open_workspace(site)
    writer = workspace.open_writer("legato run")
    plan = Plan(request="total", project="", steps=[], handling={})
    writer.accept(Run(id="aaaaaa-bbbb", request="total", actor="me", project="", at=workspace.clock.now()), pack(plan), [])
    writer.close()
    told = ask(site, "doctor")
    assert (told.exit, told.found("runs")) == (
        0, [("warning", "run aaaaaa-bbbb (total) was interrupted", "legato resume aaaaaa-bbbb")],
    )  # fmt: skip


# -- the disk, the clock, the project --


@pytest.fixture
def read_only(site: Path, tmp_path: Path) -> Iterator[Path]:
    """The project on a disk that takes no writes: a real one where the system lets us mount it, else by permission."""
    point = tmp_path / "disk"
    point.mkdir()
    if os.geteuid() != 0:
        folders = [path for path in (site, *site.rglob("*")) if path.is_dir()]
        for path in folders:
            path.chmod(0o500)
        yield site
        for path in folders:
            path.chmod(0o700)
        return
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(point)], capture_output=True).returncode:
        pytest.skip("root needs the right to mount a disk, since permissions do not hinder it")
    try:
        shutil.copytree(site, point / "site")
        subprocess.run(["mount", "-o", "remount,ro", str(point)], check=True)
        yield point / "site"
    finally:
        subprocess.run(["umount", "--lazy", str(point)], check=True)


def test_on_a_read_only_disk_questions_are_answered_and_work_is_refused(read_only: Path, ask: Any) -> None:
    assert ask(read_only, "query", "select count(*) from rows").result["rows"] == [[6]]
    assert ask(read_only, "why", "total").result["state"] == "fresh"
    assert len(ask(read_only, "versions", "rows").result["versions"]) == 2
    for words in (("run", "--force", "total"), ("rollback", "total", "--to", "x", "--yes")):
        told = ask(read_only, *words)
        expected = "store-write" if words[0] == "run" else "version"
        assert (words, told.error["code"]) == (words, expected)
    told = ask(read_only, "doctor")
    assert told.exit == 1
    assert "permissions" in told.faults


class LateClock(SystemClock):
    """A clock that is a day ahead."""

    def now(self) -> Instant:
        return after(super().now(), 86_400)


def _run(workspace: Workspace, words: str) -> Any:
    with session(workspace, "a test") as opened:
        return run(opened, Request(words, force=True), lambda *_: None)[1]


def test_a_clock_that_was_set_back_between_runs_disturbs_nothing(site: Path, ask: Any) -> None:
    late = _run(replace(open_workspace(site), clock=LateClock()), "rows")
    early = _run(open_workspace(site), "+total")
    assert early.ended == "succeeded"
    assert [each["id"] for each in ask(site, "runs").result[:2]] == [early.run_id, late.run_id]
    assert {each["run"] for each in ask(site, "versions", "rows").result["versions"] if each["current"]} == {early.run_id}
    told = ask(site, "doctor")
    [(level, what, _)] = told.found("clock")
    assert (told.exit, level) == (0, "warning")
    assert "behind the last recorded instant" in what


def test_the_doctor_comes_also_where_the_project_is_broken(site: Path, ask: Any) -> None:
    (site / "pipeline.py").write_text("import legato as lg\n\n@lg.asset\ndef total(nothing): ...\n\nraise RuntimeError('no')\n")
    told = ask(site, "doctor")
    assert (told.exit, told.faults) == (1, ["project"])
    assert told.found("project")[0][2] == "legato check"
    assert told.found("published")[0][1].startswith("4 versions")


def test_the_doctor_comes_also_where_nothing_ran(tmp_path: Path, ask: Any) -> None:
    (tmp_path / "legato.toml").write_text('name = "new"\nmodules = ["pipeline"]\n')
    (tmp_path / "pipeline.py").write_text("import legato as lg\n")
    told = ask(tmp_path, "doctor", "--deep", "--fix", "--yes")
    assert (told.exit, told.faults, told.found("store")) == (0, [], [("ok", "none yet: nothing has run here", "")])
    assert not (tmp_path / ".legato").exists()


def test_state_that_others_can_look_into_is_a_warning(site: Path, ask: Any) -> None:
    (site / ".legato").chmod(0o755)
    told = ask(site, "doctor")
    assert (told.exit, told.found("permissions")[0][2]) == (0, f"chmod 700 {site / '.legato'}")


def test_time_zones_without_data_are_a_fault(site: Path, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> None:
        raise LookupError(name)

    monkeypatch.setattr("zoneinfo.ZoneInfo", unknown)
    told = ask(site, "doctor")
    assert (told.exit, told.found("time zones")) == (1, [("fault", "Python finds no data for UTC", "pip install tzdata")])


def test_a_nearly_full_disk_is_told_before_it_is_full(site: Path, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(site)
    for free, level, exit in ((500_000_000, "warning", 0), (1_000_000, "fault", 1)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: usage._replace(free=free))
        told = ask(site, "doctor")
        assert (told.exit, told.found("disk")[0][0]) == (exit, level)
