"""Flows on the command line: parameters, what is listed, and answers to what waits."""

from __future__ import annotations

import getpass
import grp
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_site import command, environment, legato, make_project, records, steady, wait_for

PIPELINE = '''\
import legato as lg


@lg.asset
def prices() -> dict:
    return {"apples": 2}


@lg.task
def find_leads(source: str) -> list:
    return [{"name": "Ann", "volume": 80}, {"name": "Bob", "volume": 20}]


@lg.task
def enrich(lead: dict, depth: int = 1) -> dict:
    print("enriching", lead["name"])
    return {**lead, "rating": lead["volume"] * depth}


@lg.task
def announce(price: dict) -> None:
    pass


@lg.flow(owner="sales@shop.example", timeout="1d")
def new_leads(min_volume: int = 50, sources: list[str] = ["fair"], dry_run: bool = False, force: int = 0) -> int:
    """Finds leads and says how many there are."""
    leads = [lead for source in sources for lead in find_leads(source) if lead["volume"] >= min_volume]
    rated = enrich.map(leads, depth=2)
    print(len(rated), "leads", "dry" if dry_run else "", force)
    return len(rated)


@lg.flow
def asks(who: str = "", region: str = "EU") -> None:
    print("approved:", lg.approval(f"Publish {region}?", who=who))


@lg.flow
def hears() -> None:
    print("heard:", lg.signal("ready"))


@lg.flow
def needs(region: str) -> None:
    pass


@lg.flow
def goes_on() -> None:
    while True:
        enrich({"name": "Ann", "volume": 1})
'''
CONFIG = 'name = "crm"\nmodules = ["pipeline"]\nworkers = 2\n'

SHOW = """\
new_leads  flow, pipeline.py:25
  Finds leads and says how many there are.
  owner  sales@shop.example
  timeout  24 h 00 m

parameters
  option  type  default
  --min-volume  int  50
  --sources  list[str]  ['fair']
  --dry-run/--no-dry-run  bool  False
  --force  int  0"""

SHOW_TASK = """\
enrich  task, pipeline.py:14

parameters
  option  type  default
  --lead  dict  must be given
  --depth  int  1
  only a flow can call it"""

LIST = """\
name  kind  status  owner
prices  asset  missing
find_leads  task
enrich  task
announce  task
new_leads  flow  sales@shop.example
asks  flow
hears  flow
needs  flow
goes_on  flow"""

CHECK = """\
crm is sound: 1 asset, 3 tasks, 5 flows
only flows can call find_leads (source); enrich (lead); announce (price: did you mean `prices`?)"""

UNKNOWN = """\
error: new_leads has no parameter `min-volum` [flow-parameters]
  why:  did you mean `min_volume`?
         its parameters: --min-volume int = 50; --sources list[str] = ['fair'];
         --dry-run/--no-dry-run bool = False; --force int = 0
  next:  legato show new_leads"""

MISSING = """\
error: needs needs `region` [flow-parameters]
  why:  its parameters: --region str
  next:  legato show needs"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("flows"), PIPELINE, CONFIG)


# -- looking --


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("show new_leads", SHOW),
        ("show enrich", SHOW_TASK),
        ("check", CHECK),
        ("plan new_leads --min-volume 20", "run  new_leads  requested\n1 step to run; no history yet to say how long it takes"),
    ],
)
def test_what_is_told_of_flows(site: Path, words: str, told: str) -> None:
    assert steady(legato(site, *words.split()).stdout).removeprefix("     name  reason\n") == told


def test_flows_and_what_they_call_are_listed(tmp_path: Path) -> None:
    assert steady(legato(make_project(tmp_path, PIPELINE, CONFIG), "list").stdout) == LIST


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("run new_leads --min-volum 3", 2, UNKNOWN),
        ("run needs", 2, MISSING),
        ("plan needs", 2, MISSING),
    ],
)
def test_parameters_that_do_not_fit(site: Path, words: str, code: int, told: str) -> None:
    answer = legato(site, *words.split())
    assert (answer.returncode, steady(answer.stderr)) == (code, told)


@pytest.mark.parametrize(
    ("words", "what", "why"),
    [
        ("run --forse", "no such option: --forse", "did you mean `--force`?"),
        ("run prices --min-volume 3", "no such option: --min-volume", "only a flow that is named has parameters of its own"),
        ("run new_leads asks --region x", "no such option: --region", "of 2 flows it could belong to any"),
        ("run kind:flow --region x", "no such option: --region", "only a flow that is named has parameters of its own"),
        ("plan -x", "no such option: -x", "only a flow that is named has parameters of its own"),
    ],
)
def test_options_that_are_nobodys(site: Path, words: str, what: str, why: str) -> None:
    answer = legato(site, *words.split(), "--json")
    (record,) = records(answer.stdout)
    assert (answer.returncode, record["error"]["code"]) == (2, "usage")
    assert (record["error"]["what"], record["error"]["why"]) == (what, why)


def test_a_task_that_flows_call_is_not_run_alone(site: Path) -> None:
    answer = legato(site, "run", "enrich")
    assert answer.returncode == 2
    assert "error: enrich needs `lead`: call it from a flow [task-arguments]" in answer.stderr


# -- running --


def test_a_flow_runs_with_its_parameters(tmp_path: Path) -> None:
    site = make_project(tmp_path, PIPELINE, CONFIG)
    words = "run new_leads --min-volume=10 --sources fair --sources web --dry-run --param force=3"
    answer = legato(site, *words.split())
    assert answer.returncode == 0, answer.stderr
    assert "succeeded in" in answer.stdout
    assert "4 leads dry 3\n" in legato(site, "logs", "last", "new_leads").stdout
    assert legato(site, "logs", "last", "enrich").stdout.count("enriching Bob") == 2
    assert "── enrich#3" in legato(site, "logs", "last", "enrich").stdout
    assert legato(site, "logs", "last", "enrich#2").stdout == "enriching Bob\n"
    none = legato(site, "logs", "last", "enrich#5")
    assert (none.returncode, "why:   it called enrich 4 times" in none.stderr) == (3, True)
    (told,) = records(legato(site, "runs", "--limit", "1", "--json").stdout)
    assert told["result"][0]["request"] == "new_leads --min-volume 10 --sources fair --sources web --dry-run --force 3"


def test_why_a_flow_is_nowhere(site: Path) -> None:
    assert "a flow's value lives only in its run" in legato(site, "why", "needs").stdout


# -- answering --


@contextmanager
def waiting(site: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A run of a flow that waits for somebody."""
    process = subprocess.Popen(
        command("run", *words), cwd=site, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: "running" in legato(site, "waits").stdout)
        yield process
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()


def waits_of(site: Path) -> list[tuple[str, str, str, str]]:
    (answer,) = records(legato(site, "waits", "--json").stdout)
    return [(each["kind"], each["name"], each["state"], each["answered"]) for each in answer["result"]]


def test_an_approval(tmp_path: Path) -> None:
    site = make_project(tmp_path, PIPELINE, CONFIG)
    group = grp.getgrgid(os.getgid()).gr_name
    with waiting(site, "asks", "--who", group):
        told = steady(legato(site, "waits").stdout)
        assert told.splitlines()[1] == f"RUN  running  asks  approval  {group}  Publish EU?"
        assert told.splitlines()[2] == "next: legato approve RUN 'Publish EU?'"
        assert legato(site, "approve", "last", "Other?").returncode == 3
        answer = legato(site, "approve", "last", "--reason", "checked")
        assert steady(answer.stdout) == "approved: Publish EU? (run RUN, asks); the flow goes on"
    assert "approved: True" in legato(site, "logs", "last").stdout
    assert "[run-ended]" in legato(site, "approve", "last").stderr


def test_a_rejection(tmp_path: Path) -> None:
    site = make_project(tmp_path, PIPELINE, CONFIG)
    with waiting(site, "asks"):
        assert "rejected: Publish EU?" in legato(site, "approve", "last", "--reject", "--reason", "too few").stdout
    assert "approved: False" in legato(site, "logs", "last").stdout


def test_an_approval_by_somebody_else(tmp_path: Path) -> None:
    site = make_project(tmp_path, PIPELINE, CONFIG)
    with waiting(site, "asks", "--who", "nobody-of-that-name") as process:
        answer = legato(site, "approve", "last")
        assert (answer.returncode, "[approval-who]" in answer.stderr) == (6, True)
        assert waits_of(site) == [("approval", "Publish EU?", "running", "")]
        process.send_signal(signal.SIGINT)


def test_a_signal_to_an_interrupted_run_takes_effect_when_it_is_resumed(tmp_path: Path) -> None:
    site = make_project(tmp_path, PIPELINE, CONFIG)
    with waiting(site, "hears") as process:
        process.send_signal(signal.SIGINT)
    assert legato(site, "signal", "ready", "--data", "{").returncode == 2
    assert legato(site, "signal", "ready", "--data", "[" * 5_000).returncode == 2
    answer = legato(site, "signal", "ready", "--data", '{"rows": 3}')
    assert steady(answer.stdout) == "sent: ready (run RUN, hears); it takes effect with legato resume RUN"
    assert waits_of(site) == [("signal", "ready", "interrupted", getpass.getuser())]
    assert legato(site, "run", "prices").returncode == 0
    assert waits_of(site) == [("signal", "ready", "interrupted", getpass.getuser())]
    run = records(legato(site, "runs", "--state", "interrupted", "--json").stdout)[0]["result"][0]["id"]
    assert legato(site, "resume", run).returncode == 0
    assert "heard: {'rows': 3}" in legato(site, "logs", run).stdout
    assert waits_of(site) == []


HURRY = (
    PIPELINE
    + """
@lg.flow
def hurries() -> None:
    print("said:", lg.approval("Now?", timeout="1h"))
"""
)


@pytest.fixture
def later(tmp_path: Path) -> dict[str, str]:
    """Variables of a process by whose clock it is two hours later."""
    folder = tmp_path / "later"
    folder.mkdir()
    text = "import time\n\nnow = time.time_ns\ntime.time_ns = lambda: now() + 7_200_000_000_000\n"
    (folder / "sitecustomize.py").write_text(text)
    return {"PYTHONPATH": str(folder)}


def test_an_answer_counts_by_when_it_is_given(tmp_path: Path, later: dict[str, str]) -> None:
    site = make_project(tmp_path / "site", HURRY, CONFIG)
    with waiting(site, "hurries") as process:
        process.send_signal(signal.SIGINT)
    assert legato(site, "approve", "last").returncode == 0
    assert legato(site, "resume", "last", **later).returncode == 0
    assert "said: True" in legato(site, "logs", "last").stdout


def test_an_answer_that_comes_too_late(tmp_path: Path, later: dict[str, str]) -> None:
    site = make_project(tmp_path / "site", HURRY, CONFIG)
    with waiting(site, "hurries") as process:
        process.send_signal(signal.SIGINT)
    late = legato(site, "approve", "last", **later)
    assert (late.returncode, "[wait-over]" in late.stderr) == (2, True)
    assert legato(site, "resume", "last", **later).returncode == 1
    assert "TimeoutError" in legato(site, "logs", "last").stdout + legato(site, "why", "last").stdout


LIMITED = """
import time
import legato as lg

@lg.task
def nap(number: int) -> None:
    time.sleep(2)

@lg.flow(timeout="3s")
def in_its_process() -> None:
    nap(1), nap(2)

@lg.flow(timeout="3s")
def in_workers() -> None:
    nap.submit(1).result(), nap.submit(2).result()
"""


@pytest.mark.long
def test_what_a_flow_makes_itself_counts_for_its_time_limit(tmp_path: Path) -> None:
    site = make_project(tmp_path, LIMITED, 'name = "p"\nmodules = ["pipeline"]\nworkers = 2\n')
    told = legato(site, "run", "in_its_process", "in_workers").stdout
    assert "failed  in_its_process: ran longer than its time limit" in told
    assert re.search(r"^done    in_workers ", told, re.M), told


def test_a_flow_that_goes_on_and_on_is_stopped_gently(tmp_path: Path) -> None:
    site = make_project(tmp_path, PIPELINE, CONFIG)
    process = subprocess.Popen(command("run", "goes_on"), cwd=site, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("done    enrich#5"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "interrupted in" in told
    assert "2 left to do" in told


def test_nothing_waits_where_nothing_ran(tmp_path: Path) -> None:
    assert legato(make_project(tmp_path, PIPELINE, CONFIG), "waits").stdout == "nothing waits\n"


SIGNALS = (
    PIPELINE
    + """
@lg.flow
def hears_twice() -> None:
    lg.approval("Begin?")
    print("heard:", lg.signal("part"), lg.signal("part"))
"""
)


def test_signals_that_come_before_anybody_waits_for_them_are_kept(tmp_path: Path) -> None:
    site = make_project(tmp_path, SIGNALS, CONFIG)
    with waiting(site, "hears_twice"):
        first = legato(site, "signal", "part", "--data", "1")
        assert steady(first.stdout) == "kept: nothing in run RUN waits for it yet; it is there when something does"
        assert legato(site, "signal", "part", "--data", "2", "--run", "last").returncode == 0
        assert legato(site, "approve", "last").returncode == 0
    assert "heard: 1 2" in legato(site, "logs", "last").stdout
    assert waits_of(site) == []


def test_signals_that_no_run_could_hear_or_keep(tmp_path: Path) -> None:
    site = make_project(tmp_path, SIGNALS, CONFIG)
    assert legato(site, "run", "prices").returncode == 0
    none = legato(site, "signal", "part")
    assert (none.returncode, "[signal-none]" in none.stderr) == (3, True)
    assert "[run-ended]" in legato(site, "signal", "part", "--run", "last").stderr
    with waiting(site, "hears_twice"):
        huge = legato(site, "signal", "part", "--data", f'"{"x" * 70_000}"')
        assert (huge.returncode, "[signal-size]" in huge.stderr) == (2, True)
        assert legato(site, "cancel", "last").returncode == 0
