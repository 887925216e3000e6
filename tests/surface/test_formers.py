"""Versions of before at work: they rest when they have nothing to do, few are awake at once, and some are given up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_site import PIPELINE, Site

from legato.kernel.inputs import Signal
from legato.runtime.asleep import Asleep
from legato.runtime.conductor import Conductor
from legato.runtime.edition import Edition
from legato.service import formers
from legato.service.formers import Formers
from legato.terms.codec import NIL
from legato.terms.instant import Instant
from legato.testing.executor import is_running
from legato.worker import kin

MORE = """

if (HERE / "die").exists() and CODE == "one":
    import os
    os._exit(3)

@lg.flow
def waits(names: list[str] = ["go"]) -> None:
    for name in names:
        lg.signal(name)
        say(len(name))
"""


class Served(Site):
    """A site whose versions of before are seen to as in a service."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.told: list[str] = []
        self.write(of("one"))

    def serve(self) -> Conductor:
        self.open()
        conductor = self.conductor
        assert conductor is not None
        self.formers = Formers(conductor, self.reloader, lambda: self.reloader.workspace, self.told.append)  # type: ignore[arg-type, return-value]
        conductor.on_turn = self.formers.step
        return conductor

    def change(self, word: str) -> None:
        former = self.fingerprint
        self.write(of(word))
        self.turn_until(lambda: self.fingerprint != former)

    def wait(self, names: list[str] | None = None) -> str:
        """A run that waits for its first signal."""
        assert self.conductor is not None
        run = self.submit("waits", names=names or ["go"])
        state = self.conductor.runs[run].state
        self.turn_until(lambda: bool(state.held()) and not state.running)
        return run

    def signal(self, run: str, name: str = "go") -> None:
        assert self.conductor is not None
        self.conductor.tell(run, Signal(f"{run} {name}", name, NIL, "ann", Instant(0)))

    def edition(self, run: str) -> Edition:
        assert self.conductor is not None
        return self.conductor.runs[run].edition

    def awake(self) -> int:
        assert self.conductor is not None
        return sum(not isinstance(each.executor, Asleep) for each in self.conductor.editions[:-1])

    def said(self) -> list[str]:
        file = self.folder / "said"
        return file.read_text().split() if file.exists() else []


def of(word: str) -> str:
    return (PIPELINE + MORE).replace('"one"', f'"{word}"')


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Served]:
    before = set(kin.children())
    site = Served(tmp_path)
    yield site
    site.close()
    assert not [pid for pid in set(kin.children()) - before if is_running(pid)]


def test_what_has_nothing_to_do_rests_until_it_has(site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formers, "_REST_AFTER_S", 0.3)
    site.serve()
    run = site.wait(["first", "second"])
    site.change("two")
    site.turn_until(lambda: site.awake() == 0)
    site.signal(run, "first")
    site.turn_until(lambda: site.said() == ["one"])
    site.turn_until(lambda: site.awake() == 0)
    site.signal(run, "second")
    assert site.ended(run).state == "succeeded"
    assert (site.said(), site.told) == (["one", "one"], [])
    site.turn_until(lambda: len(site.conductor.editions) == 1)  # type: ignore[union-attr]


def test_few_are_awake_at_once_and_all_have_their_turn(site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formers, "MOST_AWAKE", 1)
    monkeypatch.setattr(formers, "_REST_AFTER_S", 0.0)
    site.serve()
    runs = [site.wait()]
    for word in ("two", "three"):
        site.change(word)
        runs.append(site.wait())
    site.change("four")
    site.turn_until(lambda: site.awake() == 0)
    for run in runs:
        site.signal(run)
    most = 0

    def over() -> bool:
        nonlocal most
        most = max(most, site.awake())
        return sorted(site.said()) == ["one", "three", "two"]

    site.turn_until(over)
    assert [site.ended(run).state for run in runs] == ["succeeded"] * 3
    assert most == 1
    assert all(" waits: " in told for told in site.told)
    assert site.told


def test_code_whose_host_dies_again_and_again_is_given_up(site: Served) -> None:
    conductor = site.serve()
    run = site.submit("long")
    site.turn_until((site.folder / "begun").exists)
    site.change("two")
    former, host = site.edition(run), conductor.editions[0].executor
    (site.folder / "die").touch()
    os.kill(host._link.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    site.turn_until(lambda: former not in conductor.editions)
    assert site.edition(run) is conductor.edition
    (told,) = site.told
    assert f"run {run} goes on with the code of now" in told
    assert "exited with code 3" in told
    (site.folder / "go").touch()
    assert site.ended(run).project == site.fingerprint
    assert site.said() == ["two", "two"]


def test_whoever_wants_a_version_has_it_or_hears_why_not(site: Served) -> None:
    conductor = site.serve()
    former = site.fingerprint
    site.change("two")
    heard: list[str] = []

    def want(fingerprint: str) -> str:
        site.formers.want(
            fingerprint, lambda edition, workspace: heard.append(f"{edition.fingerprint} {workspace.project.fingerprint}"),
            lambda error: heard.append(error.code),
        )  # fmt: skip
        site.turn_until(lambda: bool(heard))
        return heard.pop()

    assert want(site.fingerprint) == f"{site.fingerprint} {site.fingerprint}"
    assert want(former) == f"{former} {former}"
    assert len(conductor.editions) == 1, "nobody used it"
    assert want("f" * 32) == "code-not-kept"
    (site.folder / "die").touch()
    assert want(former) == "code-unloadable"
    assert (len(conductor.editions), site.told) == (1, [])
