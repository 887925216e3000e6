"""A run that is taken up again after an edit: with the code of then, or with that of now, as whoever asks wishes."""

from __future__ import annotations

import os
import pty
import re
import sqlite3
import subprocess
from pathlib import Path

import pytest
from cli_site import command, environment, legato, make_project, records

CONFIG = 'name = "crm"\nmodules = ["pipeline"]\nworkers = 1\n'

PIPELINE = """\
from pathlib import Path
import legato as lg

HERE = Path(__file__).parent
CODE = "one"


@lg.task
def find() -> str:
    note("find")
    return CODE


@lg.task
def rate(lead: str) -> str:
    from rating import rated
    note("rate")
    if (HERE / "fail").exists():
        raise ValueError(f"no rating by {CODE}")
    return f"{lead} {rated()}"


@lg.flow
def leads() -> str:
    return rate(find())


@lg.asset
def unconcerned() -> str:
    return "one thing"


def note(word: str) -> None:
    with (HERE / "made.txt").open("a") as file:
        print(word, CODE, file=file)
"""
RATING = 'def rated() -> str:\n    return "one"\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A project with a run that failed, and changed since."""
    make_project(tmp_path, PIPELINE, CONFIG)
    (tmp_path / "rating.py").write_text(RATING)
    (tmp_path / "fail").touch()
    assert legato(tmp_path, "run", "leads").returncode == 1
    assert made(tmp_path) == ["find one", "rate one"]
    (tmp_path / "fail").unlink()
    edit(tmp_path)
    return tmp_path


def edit(site: Path) -> None:
    (site / "pipeline.py").write_text(PIPELINE.replace('"one"', '"two"'))
    (site / "rating.py").write_text(RATING.replace("one", "two"))


def made(site: Path) -> list[str]:
    """What user code did since the last call."""
    lines = (site / "made.txt").read_text().splitlines()
    (site / "made.txt").unlink()
    return lines


def answer_on_a_terminal(site: Path, words: tuple[str, ...], answer: str) -> str:
    """What a command shows on a terminal on which somebody types this once it asks."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(*words), cwd=site, env=environment(NO_COLOR="1", COLUMNS="120"), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown, typed = b"", False
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # the command has ended
                break
            if not chunk:
                break
            shown += chunk
            if not typed and b"[now]:" in shown:
                os.write(ours, f"{answer}\n".encode())
                typed = True
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode().replace("\r\n", "\n")


def test_a_run_goes_on_with_the_code_of_then(site: Path) -> None:
    found = legato(site, "resume", "--code", "then")
    assert found.returncode == 0, found.stderr
    assert "1 recorded result reused" in found.stdout
    assert "changed" not in found.stdout
    assert made(site) == ["rate one"]


def test_a_run_goes_on_with_the_code_of_now(site: Path) -> None:
    found = legato(site, "resume", "--code", "now")
    assert found.returncode == 0, found.stderr
    assert made(site) == ["find two", "rate two"]


def test_without_a_terminal_it_is_the_code_of_now_and_that_is_said(site: Path) -> None:
    found = legato(site, "resume")
    (command_of_then,) = re.findall(r"for that of then: legato (resume \S+ --code then)", found.stdout)
    assert made(site) == ["find two", "rate two"]
    again = legato(site, *command_of_then.split())
    assert "run-succeeded" in again.stderr


def test_a_terminal_asks(site: Path) -> None:
    shown = answer_on_a_terminal(site, ("resume",), "then")
    assert re.search(r"worked with version [0-9a-f]{12}, in force since ", shown)
    assert "changed since: find, leads, rate" in shown
    assert "unconcerned" not in shown
    assert made(site) == ["rate one"]


def test_a_terminal_asks_and_takes_the_code_of_now_for_no_answer(site: Path) -> None:
    answer_on_a_terminal(site, ("resume", "last"), "")
    assert made(site) == ["find two", "rate two"]


def test_nobody_is_asked_about_what_does_not_concern_the_run(site: Path) -> None:
    (site / "rating.py").write_text(RATING)
    (site / "pipeline.py").write_text(PIPELINE.replace("one thing", "another thing"))
    shown = answer_on_a_terminal(site, ("resume",), "")
    assert "[now]:" not in shown
    assert made(site) == ["rate one"]


def test_the_run_is_of_the_version_that_it_worked_with_last(site: Path) -> None:
    (site / "fail").touch()
    assert legato(site, "resume").returncode == 1
    assert made(site) == ["find two", "rate two"]
    (site / "fail").unlink()
    (site / "pipeline.py").write_text(PIPELINE.replace('"one"', '"three"'))
    assert legato(site, "resume", "--code", "then").returncode == 0
    assert made(site) == ["rate two"]


def test_a_run_is_repeated_with_either_code(site: Path) -> None:
    assert legato(site, "resume", "--code", "then").returncode == 0
    made(site)
    now = legato(site, "run", "--from", "rate", "last")
    assert "for that of then: legato run --from rate " in now.stderr
    assert made(site) == ["rate two"], "what came before is reused, whatever its code"
    assert legato(site, "run", "--from", "rate", "last", "--code", "now").returncode == 0
    assert made(site) == ["rate two"]
    first = records(legato(site, "runs", "--json").stdout)[0]["result"][-1]["id"]
    then = legato(site, "run", "--from", "rate", first, "--code", "then")
    assert (then.returncode, then.stderr) == (0, "")
    assert made(site) == ["rate one"]
    assert "changed since: find, leads, rate" in answer_on_a_terminal(site, ("run", "--from", "rate", first), "then")
    assert made(site) == ["rate one"]


def test_a_version_of_before_does_not_come_into_force(site: Path) -> None:
    before = legato(site, "diff", "--list", "--json").stdout
    assert legato(site, "resume", "--code", "then").returncode == 0
    assert legato(site, "diff", "--list", "--json").stdout == before
    assert legato(site, "run", "unconcerned").returncode == 0
    assert len(records(legato(site, "diff", "--list", "--json").stdout)[0]["result"]) == 2


def test_the_code_of_then_runs_where_that_of_now_is_broken(site: Path) -> None:
    (site / "pipeline.py").write_text("import nothing_that_is_there\n")
    assert legato(site, "resume", "--code", "now").returncode == 4
    assert legato(site, "resume", "--code", "then").returncode == 0
    assert made(site) == ["rate one"]


def test_workers_that_cannot_be_forked_load_the_code_of_then_themselves(tmp_path: Path) -> None:
    threaded = PIPELINE + "\n\nimport threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    make_project(tmp_path, threaded, CONFIG)
    (tmp_path / "rating.py").write_text(RATING)
    (tmp_path / "fail").touch()
    assert legato(tmp_path, "run", "leads").returncode == 1
    (tmp_path / "fail").unlink()
    (tmp_path / "pipeline.py").write_text(threaded.replace('"one"', '"two"'))
    made(tmp_path)
    found = legato(tmp_path, "resume", "--code", "then")
    assert found.returncode == 0, found.stderr + found.stdout
    assert made(tmp_path) == ["rate one"]


def change(site: Path, sql: str) -> None:
    with sqlite3.connect(site / ".legato" / "state.db") as db:
        db.execute(sql)
    db.close()


def refused(site: Path) -> str:
    """The code of the error of whoever wants the code of then; nothing has run."""
    (found,) = records(legato(site, "resume", "--code", "then", "--json").stdout)
    assert found["ok"] is False
    assert "--code now" in found["error"]["next"]
    assert not (site / "made.txt").exists()
    return str(found["error"]["code"])


def test_code_that_is_not_kept_is_told(site: Path) -> None:
    change(site, "update project set code = '', manuscript = x''")
    assert refused(site) == "code-not-kept"
    shown = legato(site, "resume", "--plan").stdout
    assert "that of then is not kept" in shown
    assert "[now]:" not in answer_on_a_terminal(site, ("resume",), "")
    assert made(site) == ["find two", "rate two"]


def test_code_that_nobody_kept_is_kept_by_the_next_run_of_it(site: Path) -> None:
    make_project(site, PIPELINE, CONFIG)
    (site / "rating.py").write_text(RATING)
    change(site, "update project set code = '', manuscript = x''")
    assert legato(site, "resume", "--plan", "--code", "then").returncode == 0, "it is that of now"
    assert legato(site, "run", "unconcerned").returncode == 0
    edit(site)
    first = records(legato(site, "runs", "--json").stdout)[0]["result"][-1]["id"]
    assert legato(site, "resume", first, "--code", "then").returncode == 0
    assert made(site) == ["rate one"]


def test_damaged_code_is_told(site: Path) -> None:
    change(site, "delete from text where digest = (select max(digest) from text)")
    assert refused(site) == "code-damaged"


def test_the_doctor_looks_at_kept_code(site: Path) -> None:
    def finding(*words: str) -> dict[str, str]:
        (found,) = records(legato(site, "doctor", "--json", *words).stdout)
        (one,) = (each for each in found["result"]["findings"] if each["subject"] == "code")
        return {str(name): str(value) for name, value in one.items()}

    assert finding()["what"] == "of 1 versions of the project 1 have their code; it was not read: legato doctor --deep"
    assert finding("--deep")["what"] == "of 1 versions of the project 1 have their code, whole"
    change(site, "update text set body = x'00' where digest = (select max(digest) from text)")
    found = finding("--deep")
    assert (found["level"], "a text is not what it was" in found["what"]) == ("warning", True)


def test_code_that_no_longer_loads_is_told_with_its_fault(tmp_path: Path) -> None:
    make_project(tmp_path, PIPELINE + "\n\nif (HERE / 'no more').exists():\n    raise RuntimeError('no more')\n", CONFIG)
    (tmp_path / "rating.py").write_text(RATING)
    (tmp_path / "fail").touch()
    legato(tmp_path, "run", "leads")
    made(tmp_path)
    edit(tmp_path)
    (tmp_path / "no more").touch()
    found = legato(tmp_path, "resume", "--code", "then")
    assert "[code-unloadable]" in found.stderr
    assert "RuntimeError: no more [module-import]" in found.stderr
    assert "pipeline.py:" in found.stderr
    assert refused(tmp_path) == "code-unloadable"


def test_code_that_declares_something_else_by_now_is_told(tmp_path: Path) -> None:
    more = "\n\nfor name in (HERE / 'names').read_text().split():\n    globals()[name] = lg.task(lambda: 1, name=name)\n"
    make_project(tmp_path, PIPELINE + more, CONFIG)
    (tmp_path / "rating.py").write_text(RATING)
    (tmp_path / "names").write_text("a b")
    (tmp_path / "fail").touch()
    assert legato(tmp_path, "run", "leads").returncode == 1
    made(tmp_path)
    edit(tmp_path)
    (tmp_path / "names").write_text("a b c")
    assert refused(tmp_path) == "code-unloadable"


def test_code_is_asked_for_where_a_run_is_repeated_only(site: Path) -> None:
    found = legato(site, "run", "unconcerned", "--code", "then")
    assert found.returncode == 2
    assert "[code-of-what]" in found.stderr
