"""What the doctor says of a machine: each thing that can be wrong is said with what mends it."""

from __future__ import annotations

import os
import resource
import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

import legato as lg
import legato.service.premises as looked
from legato.declare.draft import Site
from legato.declare.keep import DAY_S
from legato.declare.project import collect, freeze
from legato.service.checkup import examine
from legato.service.premises import Premises, examine_premises, judge_clock
from legato.stores import faults
from legato.stores.memory import MemoryStore
from legato.terms.errors import InvalidProject
from legato.terms.instant import Instant, after

NOW = Instant(1_790_000_000_000_000)
Usage = namedtuple("Usage", "total used free")


def premises(folder: Path, **more) -> Premises:
    state = folder / ".legato"
    state.mkdir(mode=0o700, exist_ok=True)
    known = {"project": None, "fault": InvalidProject([]), "open_reader": MemoryStore, "find_holder": lambda: None}
    return Premises(root=folder, state=state, storages={}, open_writer=lambda name: MemoryStore(), **{**known, **more})


def findings(folder: Path, subject: str, **more) -> list:
    return [each for each in examine_premises(premises(folder, **more)) if each.subject == subject]


def test_a_sound_machine_has_nothing_to_mend(tmp_path):
    found = [each for each in examine_premises(premises(tmp_path)) if each.subject != "project"]
    assert {each.subject for each in found} >= {"python", "sqlite", "time zones", "disk", "handles", "permissions"}
    assert [each for each in found if each.level != "ok"] == []


@pytest.mark.parametrize(("free", "level"), [(10**12, "ok"), (500_000_000, "warning"), (10_000_000, "fault")])
def test_a_full_disk_is_seen_before_it_is_full(tmp_path, monkeypatch, free, level):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**13, 0, free))
    (found,) = findings(tmp_path, "disk")
    assert found.level == level
    assert bool(found.fix) == (level != "ok")


def test_a_disk_may_have_bytes_and_no_room_for_files(tmp_path, monkeypatch):
    found = SimpleNamespace(f_files=10**6, f_favail=12, f_flag=0, f_bavail=10**9, f_blocks=10**10, f_bfree=10**9, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda folder: found)
    assert [(each.level, "12 more files" in each.what) for each in findings(tmp_path, "disk")][-1] == ("warning", True)


def test_too_few_open_files_are_told_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 1024))
    (found,) = findings(tmp_path, "handles")
    assert (found.level, found.fix) == ("warning", "ulimit -n 1024; in a systemd unit: LimitNOFILE=4096")


def test_a_network_file_system_is_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr("legato.stores.survey.file_system_of", lambda path: "nfs4")
    (found,) = findings(tmp_path, "file system")
    assert (found.level, bool(found.fix)) == ("warning", True)


def test_a_python_that_nobody_tried_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(looked.sys, "version_info", (3, 10, 1))
    assert findings(tmp_path, "python")[0].level == "warning"


def test_a_state_that_others_may_look_into_is_told_with_the_command(tmp_path):
    place = premises(tmp_path)
    place.state.chmod(0o755)
    (found,) = [each for each in examine_premises(place) if each.subject == "permissions"]
    assert (found.level, found.fix.startswith("chmod 700 ")) == ("warning", True)


def test_the_zones_of_triggers_count(tmp_path, monkeypatch):
    @lg.asset(on=lg.cron("0 6 * * *", tz="America/New_York"))
    def early() -> int:
        return 1

    project, _ = freeze(
        collect([{"early": early}]), Site(name="p", pools={}, storages=("files",), root=str(tmp_path)), code_of=lambda fn: ""
    )
    (found,) = findings(tmp_path, "time zones", project=project)
    assert "America/New_York" in found.what

    def no_data(name):
        raise LookupError(name)

    monkeypatch.setattr("zoneinfo.ZoneInfo", no_data)
    (found,) = findings(tmp_path, "time zones", project=project)
    assert (found.level, "America/New_York" in found.what, found.fix) == ("fault", True, "pip install tzdata")


@pytest.mark.parametrize(
    ("last", "now", "level"),
    [
        (None, NOW, "ok"), (NOW, NOW, "ok"), (after(NOW, -DAY_S), NOW, "ok"), (NOW, after(NOW, -0.5), "ok"),
        (NOW, after(NOW, -3600), "warning"), (NOW, after(NOW, -DAY_S), "warning"), (None, Instant(0), "fault"),
    ],
)  # fmt: skip
def test_a_clock_that_went_back_is_seen_by_what_is_on_record(last, now, level):
    found = judge_clock(last, now)
    assert found.level == level
    assert bool(found.fix) == (level != "ok")


@pytest.mark.parametrize(("fault", "level"), [(faults.older, "warning"), (faults.newer, "fault")])
def test_a_store_of_another_legato_is_a_matter_of_migrations(tmp_path, fault, level):
    def open_reader():
        raise fault("state.db", 3, 4)

    found = {each.subject: each for each in examine(premises(tmp_path, open_reader=open_reader)).findings}
    assert found["migrations"].level == level
    assert found["migrations"].fix
    assert "store" not in found


def test_requests_that_nobody_could_read_are_told(tmp_path):
    place = premises(tmp_path)
    assert [each for each in examine_premises(place) if each.subject == "inbox"] == []
    (place.state / "inbox").mkdir()
    (place.state / "inbox" / "1.unread").touch()
    (found,) = [each for each in examine_premises(place) if each.subject == "inbox"]
    assert (found.level, "1 request could not be read" in found.what, bool(found.fix)) == ("warning", True, True)
