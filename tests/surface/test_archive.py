"""`legato export` and `restore`: what comes back is what was there; what was tampered with comes not in, nothing leads out."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_site import legato, make_project, records

from legato.service.archive import HEAD, STORE
from legato.service.exporting import export
from legato.service.restoring import restore
from legato.stores import migrate
from legato.terms.errors import LegatoError
from legato.wiring.state import open_household

CONFIG = 'name = "shop"\nmodules = ["pipeline"]\nexecutor = "inline"\n\n[storages.far]\nkind = "files"\npath = "far"\n'
PIPELINE = """
from pathlib import Path
import legato as lg

@lg.asset
def prices() -> dict:
    return {"apples": 2}

@lg.asset(storage="far")
def book() -> bytes:
    return b"x" * 100_000

@lg.asset
def folder(prices: dict) -> Path:
    made = Path("made")
    (made / "in" / "empty").mkdir(parents=True, exist_ok=True)
    (made / "in" / "a.txt").write_text("a")
    (made / "b.txt").symlink_to("in/a.txt") if not (made / "b.txt").exists() else None
    return made

@lg.task
def large(prices: dict) -> str:
    return "y" * 200_000
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = make_project(tmp_path_factory.mktemp("source"), PIPELINE, CONFIG)
    for _ in range(2):
        ran = legato(site, "run", "--force")
        assert ran.returncode == 0, ran.stdout
    return site


@pytest.fixture(scope="module")
def archive(source: Path) -> Path:
    path = source / "backup.legato"
    done = legato(source, "export", "backup.legato")
    assert done.returncode == 0, done.stderr
    assert "8 stored values" in done.stdout
    return path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_project(tmp_path / "new", PIPELINE, CONFIG)


def result(site: Path, *words: str) -> Any:
    answer = legato(site, *words, "--json")
    assert answer.returncode == 0, answer.stderr + answer.stdout
    return records(answer.stdout)[-1]["result"]


def nothing_is_left(site: Path) -> None:
    assert sorted(path.name for path in site.iterdir() if path.name != "__pycache__") == ["legato.toml", "pipeline.py"]


def test_what_is_restored_is_what_was_there(source: Path, archive: Path, site: Path) -> None:
    told = legato(site, "restore", str(archive))
    assert told.returncode == 0, told.stderr
    for words in (["runs"], ["versions", "folder"], ["status", "last"], ["audit"]):
        assert result(site, *words) == result(source, *words)
    findings = result(site, "doctor", "--deep")["findings"]
    assert [each for each in findings if each["level"] != "ok"] == []
    assert result(site, "plan")["steps"] == result(source, "plan")["steps"]
    for path in [site / ".legato", *(site / ".legato").rglob("*"), *(site / "far").rglob("*")]:
        assert path.suffix in (".log", ".lock") or not stat.S_IMODE(path.lstat().st_mode) & 0o077, path
    assert legato(site, "run", "--force").returncode == 0, "it goes on from there"


def test_an_archive_is_for_its_owner_alone_and_never_written_over(source: Path, archive: Path) -> None:
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    again = legato(source, "export", "backup.legato")
    assert (again.returncode, "archive-exists" in again.stderr) == (2, True)
    assert not [path for path in source.iterdir() if path.name.endswith((".part", ".db"))]


def test_it_is_written_while_something_runs(source: Path, site: Path, tmp_path: Path) -> None:
    """What is committed when the copy is made is in it, and what is committed meanwhile is not: readers see one moment."""
    source = shutil.copytree(source, tmp_path / "source")
    words = ["-c", "from legato.surfaces.cli.main import main; main(['run', '--force'])"]
    python = [os.sys.executable, *words]  # type: ignore[attr-defined]
    busy = [subprocess.Popen(python, cwd=source, stdout=subprocess.DEVNULL) for _ in range(2)]
    for number in range(4):
        made = export(open_household(source), tmp_path / f"{number}.legato")
        assert made.missing == 0
    for each in busy:
        each.wait()
    restore(open_household(site), tmp_path / "3.legato")
    findings = result(site, "doctor", "--deep")["findings"]
    assert {each["level"] for each in findings if each["subject"] in ("store", "published", "history")} == {"ok"}


def test_it_goes_into_an_empty_project_only(source: Path, archive: Path, site: Path) -> None:
    for place in (source, site):
        legato(site, "run", "prices")
        told = legato(place, "restore", str(archive))
        assert (told.returncode, "archive-occupied" in told.stderr) == (2, True)
    assert result(source, "runs")


# -- archives that were not written like this --

Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]


def rewritten(archive: Path, target: Path, change: Change) -> Path:
    with tarfile.open(archive) as tar:
        members = [(each, (tar.extractfile(each) or io.BytesIO()).read() if each.isreg() else b"") for each in tar]
    change(members)
    with tarfile.open(target, "w") as tar:
        for member, body in members:
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return target


def named(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def refused(site: Path, path: Path, code: str = "archive-damaged") -> LegatoError:
    with pytest.raises(LegatoError) as raised:
        restore(open_household(site), path)
    assert raised.value.code == code
    nothing_is_left(site)
    return raised.value


def test_a_copy_of_an_archive_is_an_archive(archive: Path, site: Path, tmp_path: Path) -> None:
    restore(open_household(site), rewritten(archive, tmp_path / "copy", lambda members: None))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_refused_whole(archive: Path, site: Path, tmp_path: Path, share: float) -> None:
    body = archive.read_bytes()
    short = tmp_path / "short"
    short.write_bytes(body[: int(len(body) * share)])
    refused(site, short)


def test_every_flipped_byte_is_noticed(archive: Path, site: Path, tmp_path: Path) -> None:
    body = archive.read_bytes()
    padding = len(body) - len(body.rstrip(b"\0"))
    with tarfile.open(archive) as tar:
        spots = [at for each in tar if each.size for at in (each.offset_data, each.offset_data + each.size - 1)]
    for at in spots:
        assert at < len(body) - padding
        broken = tmp_path / "broken"
        broken.write_bytes(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
        with pytest.raises(LegatoError):
            restore(open_household(site), broken)
        nothing_is_left(site)


def _drop(number: int) -> Change:
    return lambda members: members.pop(number) and None


def _swap(members: list[Any]) -> None:
    members[2], members[3] = members[3], members[2]


def _more(*added: tarfile.TarInfo, at: int = 3) -> Change:
    return lambda members: [members.insert(at, (each, b"evil")) for each in added] and None


@pytest.mark.parametrize(
    "change",
    [
        _drop(0), _drop(1), _drop(2), _drop(-1), _swap, lambda members: members.append(members[-1]),
        lambda members: members.clear(), lambda members: members.insert(3, members[3]),
        lambda members: members.append((named("data/files/a/_/late"), b"late")),
    ],
)  # fmt: skip
def test_a_tampered_archive_is_refused_whole(archive: Path, site: Path, tmp_path: Path, change: Change) -> None:
    refused(site, rewritten(archive, tmp_path / "evil", change))


OUTSIDE = [
    "/etc/evil", "../evil", "data/files/../../../evil", "data/files/a/../../../../evil", "data/files/a/_/../../../../evil",
    "data/files//etc/evil", "data/../evil", "data/files/./a/evil", "data/files/a", "data/files/a/_", "evil", "data",
    "state.db-wal", "state.db.lock", "data/files/a/_/x/../../../../../evil", "./data/files/a/_/x",
    "data/fi/les/../a/_/x", "DATA/files/a/_/x",
    "data\\files\\a\\_\\x", "legato.toml", "pipeline.py", STORE, HEAD,
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_no_name_leads_out(archive: Path, site: Path, tmp_path: Path, name: str, kind: bytes) -> None:
    evil = rewritten(archive, tmp_path / "evil", lambda members: members.insert(3, (named(name, kind), b"")))
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(LegatoError) as raised:
        restore(open_household(site), evil)
    assert raised.value.code in ("archive-damaged", "archive-storage")
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    assert (site / "pipeline.py").read_text().strip() == PIPELINE.strip()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE]
)
def test_links_and_devices_are_refused(archive: Path, site: Path, tmp_path: Path, kind: bytes) -> None:
    def change(members: list[Any]) -> None:
        members.insert(3, (named("data/files/a/_/link", kind, "/etc"), b""))
        members.insert(4, (named("data/files/a/_/link/evil"), b"evil"))

    refused(site, rewritten(archive, tmp_path / "evil", change))


def test_what_is_no_archive_at_all_is_refused(site: Path, tmp_path: Path) -> None:
    for number, body in enumerate((b"", b"PK\x03\x04", os.urandom(5000), b"\0" * 20_000)):
        path = tmp_path / str(number)
        path.write_bytes(body)
        refused(site, path)
    refused(site, tmp_path / "nowhere", "archive-none")


def test_an_archive_of_another_format_is_told(archive: Path, site: Path, tmp_path: Path) -> None:
    def change(members: list[Any]) -> None:
        said = json.loads(members[0][1]) | {"format": 2, "legato": "9.9"}
        members[0] = members[0][0], json.dumps(said).encode()

    error = refused(site, rewritten(archive, tmp_path / "later", change), "archive-format")
    assert "9.9" in error.why


def test_a_store_of_a_later_legato_is_refused_and_an_earlier_one_brought_up_to_date(
    archive: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, scripts = migrate.known_schema(), migrate.migrations()
    with monkeypatch.context() as earlier:
        earlier.setattr(migrate, "known_schema", lambda: known - 1)
        refused(site, archive, "store-newer")
    with monkeypatch.context() as later:
        later.setattr(migrate, "known_schema", lambda: known + 1)
        later.setattr(migrate, "migrations", lambda: [*scripts, (known + 1, "create table later (x integer);")])
        restore(open_household(site), archive)
        store = open_household(site).open_store(site / ".legato" / "state.db")
        assert store.facts()["schema"] == known + 1
        store.close()


def test_values_of_a_storage_that_is_not_there_are_told(archive: Path, tmp_path: Path) -> None:
    site = make_project(tmp_path / "new", PIPELINE, CONFIG.partition("[storages")[0])
    error = refused(site, archive, "archive-storage")
    assert "[storages.far]" in error.next


def _code_in(store: Path) -> tuple[int, int]:
    """How many versions of the project have their code in a store, and how many texts are there."""
    texts = "select (select count(*) from text) + (select count(*) from text_of)"
    with closing(sqlite3.connect(store)) as db:
        return db.execute("select count(*) from project where code != ''").fetchone()[0], db.execute(texts).fetchone()[0]


def test_no_code_goes_out(source: Path, archive: Path, tmp_path: Path) -> None:
    assert _code_in(source / ".legato" / STORE) == (1, 4)
    with tarfile.open(archive) as tar:
        tar.extract(STORE, tmp_path, filter="data")
    assert _code_in(tmp_path / STORE) == (0, 0)


def test_no_code_comes_in(source: Path, archive: Path, site: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged"
    household = replace(
        open_household(source), copy_store=lambda target: shutil.copy(source / ".legato" / STORE, target)
    )  # fmt: skip
    export(household, forged)
    restore(open_household(site), forged)
    assert _code_in(site / ".legato" / STORE) == (0, 0)
    assert legato(site, "run", "prices", "--force").returncode == 0
    assert _code_in(site / ".legato" / STORE)[0] == 1, "what runs here is kept here"


def test_a_full_disk_leaves_nothing(archive: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Iterator[None]:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("legato.service.restoring._copy", full)
        refused(site, archive, "archive-write")
    source = archive.parent
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(LegatoError) as raised:
            export(open_household(source), tmp_path / "full")
    assert raised.value.code == "archive-write"
    assert not list(tmp_path.glob("*full*"))
