"""What the commands say, word for word, on a project in which every kind of thing happens."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cli_site import legato, make_project, steady

PLAN = """\
      name  partitions  steps  reason
skip  feed  observed
run  prices  never made
run  sales  2013-01-30..2013-02-02  4  never made
run  revenue  2013-01..2013-02  2  never made
run  announce  requested
8 steps to run, 1 skipped; no history yet to say how long it takes"""

SUMMARY = """\
run RUN failed in TOOK: 5 succeeded, 1 failed, 2 skipped, 1 fresh before

failed  sales@2013-02-01 after 3 tries: the feed is closed
        where  pipeline.py:23
        held up  2 steps: revenue@2013-02, announce

warned  sales@2013-01-30, 2013-02-02: check few_sales: the check returned False

next: legato why sales@2013-02-01  what failed, and what to do
      legato logs RUN sales@2013-02-01  what it printed
      legato resume RUN  try again what did not succeed"""

LIST = """\
name  kind  partitions  status  last published  owner  tags
feed  source  observed  TIME
prices  asset  fresh  TIME
sales  asset  daily from 2013-01-30 to 2013-02-02  3 fresh, 1 failed  TIME  ops@shop.example  raw
revenue  asset  monthly from 2013-01 to 2013-02  1 fresh, 1 failed  TIME
announce  task"""

SHOW = """\
sales  asset, pipeline.py:18
  Every sale of a day.
  owner  ops@shop.example
  tags  raw
  partitions  daily from 2013-01-30 to 2013-02-02 (4)
  retries  2, exponential from TOOK
  timeout TOOK

inputs
  name
  feed

used by
  revenue

checks
  name  severity  declared
  few_sales  warn  pipeline.py:27

status
  3 partitions published, last at TIME, SIZE
  fresh  3  2013-01-30..2013-01-31, 2013-02-02
  failed  1  2013-02-01"""

PLAN_AFTER = """\
      name  partitions  steps  reason
skip  feed  observed
skip  prices  fresh
skip  sales  2013-01-30..2013-01-31, 2013-02-02  3  fresh
run  sales  2013-02-01  1  failed before: the feed is closed (run RUN)
skip  revenue  2013-01  1  fresh
run  revenue  2013-02  1  failed before: sales@2013-02-01 failed: the feed is closed (run RUN)
run  announce  requested"""

STEPS = """\
      step  reason
skip  sales@2013-01-30  fresh
skip  sales@2013-01-31  fresh
skip  revenue@2013-01  fresh
nothing to run: 3 fresh"""

STATUS = """\
shop: 7 asset partitions: 5 fresh, 2 failed

troubles
  sales@2013-02-01  the feed is closed (run RUN)
  announce  sales@2013-02-01 failed: the feed is closed (run RUN)
  revenue@2013-02  sales@2013-02-01 failed: the feed is closed (run RUN)

last runs
run  when  state  steps  took  by  request
RUN  TIME  failed  8 TOOK  somebody  everything

next: legato why sales@2013-02-01"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def ran(site: Path) -> subprocess.CompletedProcess[str]:
    """The first run of the project, after its plan was seen."""
    planned = legato(site, "plan")
    assert (steady(planned.stdout), planned.returncode) == (PLAN, 0)
    return legato(site, "run", LOGNAME="somebody")


def test_run_prints_its_plan_then_how_it_ended(ran: subprocess.CompletedProcess[str]) -> None:
    told = steady(ran.stdout)
    assert told.startswith(PLAN + "\nrun RUN\n")
    assert told.endswith("\n" + SUMMARY)
    assert {"done  sales@2013-01-30 TOOK", "failed  sales@2013-02-01: the feed is closed"} < set(told.splitlines())
    assert (ran.stderr, ran.returncode) == ("", 1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["list"], LIST),
        (["list", "kind:task", "prices"], "name  kind  status  last published\nprices  asset  fresh  TIME\nannounce  task"),
        (["show", "sales"], SHOW),
        (["plan", "--all", "sales@2013-01", "revenue@2013-01"], STEPS),
        (["plan", "prices"], "      name  reason\nskip  prices  fresh\nnothing to run: 1 fresh"),
        (["status"], STATUS),
        (["check"], "shop is sound: 3 assets, 1 task, 1 source, 1 check"),
        (["runs", "--state", "succeeded"], "no such runs"),
        (["run", "prices"], "nothing to run: 1 fresh"),
    ],
)
def test_output(site: Path, ran: subprocess.CompletedProcess[str], words: list[str], told: str) -> None:
    done = legato(site, *words)
    assert (steady(done.stdout), done.stderr, done.returncode) == (told, "", 0)


def test_plan_says_why(site: Path, ran: subprocess.CompletedProcess[str]) -> None:
    told = steady(legato(site, "plan").stdout)
    assert told.startswith(PLAN_AFTER)
    assert told.splitlines()[-1].startswith("3 steps to run, 6 skipped; about TOOK of work")


def test_status_of_a_run_repeats_its_summary(site: Path, ran: subprocess.CompletedProcess[str]) -> None:
    first, _, rest = steady(legato(site, "status", "last").stdout).partition("\n")
    assert (first, rest) == ("everything, asked by somebody at TIME", SUMMARY)


def test_runs_lists_them(site: Path, ran: subprocess.CompletedProcess[str]) -> None:
    heading, *lines = steady(legato(site, "runs", "--limit", "1").stdout).splitlines()
    assert heading == "run  when  state  steps  took  by  request"
    assert lines == ["RUN  TIME  failed  8 TOOK  somebody  everything"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (
            ["show", "sale"],
            3,
            "error: no asset or task is named 'sale' [asset]\n  why:  did you mean `sales`?\n  next:  legato list\n",
        ),
        (["plan", "sales@2014-01-01"], 3, "error: there is no partition '2014-01-01' [partition-key]\n"),
        (["plan", "(sales"], 2, "error: the selection '(sales' cannot be read [selection]\n"),
        (["status", "zzzz"], 3, "error: there is no run 'zzzz' [run]\n"),
        (["cancel", "last"], 2, "error: run RUN has failed at TIME [run-ended]\n"),
        (["run", "--workers", "0"], 2, "error: invalid value for '--workers': 0 is not in the range 1<=x<=1024 [usage]\n"),
        (["sho"], 2, "error: there is no command 'sho' [command]\n  why:  did you mean `show`?\n"),
        (
            ["-C", "nowhere", "list"],
            2,
            "error: invalid value for '-C' / '--project': Directory 'nowhere' does not exist [usage]\n",
        ),
        (["explain", "sthings"], 3, "error: there is no explanation of 'sthings' [topic]\n"),
    ],
)
def test_errors(site: Path, ran: subprocess.CompletedProcess[str], words: list[str], code: int, told: str) -> None:
    done = legato(site, *words)
    assert steady(done.stderr).startswith(told.rstrip("\n"))
    assert (done.stdout, done.returncode) == ("", code)


def test_without_a_project(tmp_path: Path) -> None:
    done = legato(tmp_path, "run")
    assert steady(done.stderr).startswith("error: no legato.toml here or above [project-none]\n  where: ")
    assert done.stderr.endswith("  next:  legato init\n")
    assert done.returncode == 4


def test_before_anything_ran(tmp_path: Path) -> None:
    site = make_project(tmp_path)
    assert steady(legato(site, "status").stdout) == "shop: 7 asset partitions: 7 missing\n\nnothing has run here yet: legato run"
    nothing = legato(site, "runs")
    assert (nothing.returncode, nothing.stderr.splitlines()[0]) == (3, "error: nothing has run here yet [store-none]")


def test_an_invalid_project(tmp_path: Path) -> None:
    report = "@lg.asset\ndef report(salse):\n    return 1\n"
    sales = "@lg.asset(retries=-1)\ndef sales():\n    return 2\n"
    site = make_project(tmp_path, f"import legato as lg\n\n\n{report}\n\n{sales}")
    done = legato(site, "check")
    assert done.returncode == 4
    assert done.stdout == (
        "pipeline.py:4: parameter `salse` of `report` names no asset, task or resource [parameter]\n    did you mean `sales`?\n"
        "pipeline.py:9: sales: retries=-1 is not a number of tries [retries]\n    write retries=3 or lg.Retry(3, ...)\n"
        "\n2 faults in 1 file\n"
    )
    ran = legato(site, "run")
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (4, "error: the project has 2 faults [project]")


def test_init_makes_a_project_that_runs(tmp_path: Path) -> None:
    made = legato(tmp_path, "init", "bakery")
    assert made.stdout == "made bakery: legato.toml, pipeline.py\n\nnext: cd bakery\n      legato plan\n      legato run\n"
    ran = legato(tmp_path, "-C", "bakery", "run", "--executor", "inline")
    assert ran.returncode == 0
    assert steady(ran.stdout).endswith("run RUN succeeded in TOOK: 2 succeeded\n\nnext: legato list  what there is now")
    again = legato(tmp_path, "init", "bakery")
    assert (again.returncode, again.stderr.splitlines()[0]) == (
        2, "error: bakery/legato.toml is there already, and nothing is overwritten [file-exists]",
    )  # fmt: skip


def test_demo_copies_the_flights_project(tmp_path: Path) -> None:
    made = legato(tmp_path, "demo")
    assert made.returncode == 0
    assert made.stdout.endswith('      legato run +report\n      legato query "select count(*) from flights"\n')
    assert steady(legato(tmp_path, "-C", "flights", "check").stdout).startswith("flights is sound: ")
    assert not (tmp_path / "flights" / ".legato").exists()
