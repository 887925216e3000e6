"""Code that changes while a service is at work, on the real process tree: hosts, workers, files."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_site import PIPELINE, Site

from legato.runtime.watch import SourceWatch
from legato.terms.errors import LegatoError
from legato.testing.executor import is_running
from legato.worker import kin


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    before = set(kin.children())
    site = Site(tmp_path)
    yield site
    site.close()
    assert not [pid for pid in set(kin.children()) - before if is_running(pid)]


TWO = PIPELINE.replace('"one"', '"two"')


def test_a_run_ends_with_the_code_that_it_began_with(site: Site) -> None:
    site.open()
    former, run = site.fingerprint, site.submit("long")
    site.turn_until((site.folder / "begun").exists)
    site.write(TWO)
    site.turn_until(lambda: site.fingerprint != former)
    newer = site.submit("report")
    assert site.ended(newer).project == site.fingerprint
    assert site.conductor is not None
    assert len(site.conductor.editions) == 2
    (site.folder / "go").touch()
    ended = site.ended(run)
    assert (ended.state, ended.project) == ("succeeded", former)
    assert (site.folder / "said").read_text().split() == ["one", "one"]
    site.turn_until(lambda: len(site.conductor.editions) == 1)  # type: ignore[union-attr]
    assert site.ended(site.submit("long")).state == "succeeded"
    assert (site.folder / "said").read_text().split() == ["one", "one", "two", "two"]
    assert site.store is not None
    assert [each.fingerprint for each in site.store.projects()] == [site.fingerprint, former]


def test_a_broken_file_keeps_the_last_good_version(site: Site) -> None:
    site.open()
    former = site.fingerprint
    site.write(BROKEN)
    site.turn_until(lambda: bool(site.reloader.faults))
    assert [fault.code for fault in site.reloader.faults] == ["module-syntax"]
    assert site.fingerprint == former
    assert site.ended(site.submit("report")).project == former
    site.write(TWO)
    site.turn_until(lambda: site.fingerprint != former)
    assert site.reloader.faults == []


def test_a_project_that_is_broken_at_first_waits_to_be_mended(site: Site) -> None:
    site.write("1 +")
    site.turn_until(lambda: bool(site.reloader.faults))
    site.write(PIPELINE)
    site.open()
    assert site.ended(site.submit("report")).state == "succeeded"


BROKEN = PIPELINE + "\n1 +\n"


def kill_host(site: Site) -> None:
    assert site.conductor is not None
    former = site.conductor.edition
    os.kill(former.executor._link.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    site.turn_until(lambda: site.conductor.edition is not former)  # type: ignore[union-attr]


def test_the_last_good_version_comes_back_while_a_file_is_broken(site: Site) -> None:
    site.open()
    former, run = site.fingerprint, site.submit("long")
    site.turn_until((site.folder / "begun").exists)
    site.write(BROKEN)
    site.turn_until(lambda: bool(site.reloader.faults))
    for _ in range(2):
        kill_host(site)
        assert (site.fingerprint, [fault.code for fault in site.reloader.faults]) == (former, ["module-syntax"])
    (site.folder / "go").touch()
    assert site.ended(run).state == "succeeded"
    assert site.ended(site.submit("report")).project == former
    site.write(TWO)
    site.turn_until(lambda: site.fingerprint != former)
    assert site.reloader.faults == []
    site.turn_until(lambda: len(site.conductor.editions) == 1)  # type: ignore[union-attr]


def test_a_service_begins_with_the_last_good_version_where_a_file_is_broken(site: Site) -> None:
    former = site.open().fingerprint
    site.close()
    site.write(BROKEN)
    site.begin()
    site.open()
    assert (site.fingerprint, [fault.code for fault in site.reloader.faults]) == (former, ["module-syntax"])
    assert site.ended(site.submit("report")).project == former
    site.write(PIPELINE)
    site.turn_until(lambda: site.reloader.faults == [])
    assert site.fingerprint == former


def test_the_last_good_version_comes_back_while_the_load_of_the_files_dies(site: Site) -> None:
    former = site.open().fingerprint
    site.close()
    site.write("import os; os._exit(3)")
    site.begin()
    site.open()
    assert site.fingerprint == former
    assert site.ended(site.submit("report")).project == former
    assert [fault.code for fault in site.reloader.faults] == ["code-died"]
    site.write(TWO)
    site.turn_until(lambda: site.fingerprint != former)


def test_a_version_that_can_be_loaded_no_more_is_no_help(site: Site) -> None:
    needed = site.folder / "needed.txt"
    needed.write_text("here")
    site.write(PIPELINE + 'open(HERE / "needed.txt").close()\n')
    site.open()
    site.close()
    needed.unlink()
    site.write(BROKEN)
    site.begin()
    site.open_store()
    site.turn_until(lambda: len(site.reloader.faults) == 2)
    assert [fault.code for fault in site.reloader.faults] == ["module-syntax", "code-unloadable"]
    assert "needed.txt" in site.reloader.faults[1].hint
    site.write(PIPELINE)
    site.open()
    assert site.reloader.faults == []
    assert site.ended(site.submit("report")).state == "succeeded"


def test_what_is_saved_as_it_was_changes_nothing(site: Site) -> None:
    site.open()
    assert site.conductor is not None
    edition = site.conductor.edition
    site.write(PIPELINE)
    site.turn_until(lambda: site.reloader.patience_s < 0.1)
    site.turn_until(lambda: site.reloader.patience_s > 0.1)
    assert site.conductor.edition is edition
    site.write(PIPELINE + "# a comment\n")
    site.turn_until(lambda: site.conductor.edition is not edition)  # type: ignore[union-attr]
    assert site.conductor.edition.fingerprint == edition.fingerprint
    assert site.store is not None
    assert len(site.store.projects()) == 1


def test_runs_whose_code_host_dies_go_on_with_the_code_of_now(site: Site) -> None:
    site.open()
    assert site.conductor is not None
    former, run = site.conductor.edition, site.submit("long")
    site.turn_until((site.folder / "begun").exists)
    os.kill(former.executor._link.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    (site.folder / "go").touch()
    assert site.ended(run).state == "succeeded"
    assert site.conductor.editions == [site.conductor.edition]
    assert site.conductor.edition is not former


def test_sources_are_asked_by_workers(site: Site) -> None:
    site.open()
    assert site.ended(site.submit("report")).state == "succeeded"
    site.write(PIPELINE.replace('return "v1"', 'raise OSError("the feed is down")'))
    former = site.fingerprint
    site.turn_until(lambda: site.fingerprint != former)
    with pytest.raises(LegatoError, match="source feed could not be observed: the feed is down"):
        site.submit("report")


@pytest.mark.timing
def test_what_is_saved_is_in_force_soon(site: Site) -> None:
    site.open()
    former = site.fingerprint
    site.write(TWO)
    assert site.turn_until(lambda: site.fingerprint != former) < 3.0  # a second on most machines


@pytest.mark.timing
def test_an_idle_service_costs_next_to_nothing(site: Site) -> None:
    site.open()
    for _ in range(4):
        site.turn()
    started, before = time.monotonic(), time.process_time()
    while time.monotonic() - started < 3.0:
        site.turn()
    assert (time.process_time() - before) / (time.monotonic() - started) < 0.005


# -- the watch --


def test_a_watch_sees_what_python_would(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("")
    (tmp_path / "package").mkdir()
    for aside in (".hidden", "node_modules", "environment"):
        (tmp_path / aside).mkdir()
        (tmp_path / aside / "other.py").write_text("")
    (tmp_path / "environment" / "pyvenv.cfg").touch()
    watch = SourceWatch([tmp_path], [tmp_path / "legato.toml"])
    changes: list[Callable[[], object]] = [
        lambda: (tmp_path / "one.py").write_text("1"),
        lambda: (tmp_path / "legato.toml").write_text(""),
        lambda: (tmp_path / "package" / "two.py").write_text(""),
        lambda: (tmp_path / "package" / "two.py").replace(tmp_path / "package" / "three.py"),
        lambda: (tmp_path / "package" / "three.py").unlink(),
        lambda: (tmp_path / "new").mkdir() or (tmp_path / "new" / "four.py").write_text(""),
    ]
    for change in changes:
        assert not watch.look()
        change()
        assert watch.look()
    for aside in (".hidden", "node_modules", "environment"):
        (tmp_path / aside / "other.py").write_text("changed")
    (tmp_path / "data.csv").write_text("1")
    assert not watch.look()
