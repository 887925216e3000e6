"""Assets that flows make, on the command line: published with what no plan could give them, and read by plans as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_site import legato, make_project, records, steady

import legato as lg

PIPELINE = '''\
import legato as lg

days = lg.daily("2024-01-01", end="2024-01-03")


@lg.source
def feed() -> str:
    return "v1"


@lg.asset(deps=[feed])
def rates() -> dict:
    return {"EUR": 2}


@lg.task
def scrape(site: str) -> list:
    return [len(site)]


@lg.asset(deps={"before": lg.previous})
def prices(found: list[int], rates: dict, before: list[int] | None, limit: int = 9) -> list[int]:
    """All prices that were ever found."""
    return [*(before or []), *(each * rates["EUR"] for each in found[:limit])]


@lg.check(prices)
def not_too_many(prices: list[int]) -> bool:
    return len(prices) < 4


@lg.asset
def report(prices: list[int], feed: str) -> str:
    return f"{sum(prices)} {feed}"


@lg.asset(partitions=days)
def by_day(day: lg.Partition, found: list[int]) -> list[int]:
    return [day.date.day, *found]


@lg.asset
def misspelt(price: list[int]) -> int:
    return 1


@lg.asset
def needs_task(total: int) -> int:
    return total


@lg.task
def total() -> int:
    return 1


@lg.task
def remember() -> list[int]:
    return [*lg.load("prices", default=[]), *lg.load("never", default=["nothing"])]


@lg.flow
def watch(sites: list[str] = ["shop"]) -> None:
    rates.materialize()
    for site in sites:
        prices.materialize(found=scrape.submit(site))
        print("so far:", remember())
    report.materialize()


@lg.flow
def keep(day: str) -> None:
    by_day.materialize(day, found=[7])


@lg.flow
def ask_wrongly() -> None:
    asked = [(prices, {}), (report, {"found": [1]}), (needs_task, {}), (report, {"partition": "x"})]
    for asset, given in asked:
        try:
            asset.materialize(**given)
        except Exception as error:
            print(str(error).partition("\\n")[0])


@lg.flow
def too_early() -> None:
    report.materialize()


@lg.flow
def takes_back() -> None:
    prices.materialize(found=[1], limit=1)
    stop()


@lg.task(on_failure="rollback")
def stop() -> None:
    raise ValueError("no")
'''
CONFIG = 'name = "shop"\nmodules = ["pipeline"]\nworkers = 2\n'

CHECK = """\
shop is sound: 6 assets, 4 tasks, 5 flows, 1 source, 1 check
only flows can call scrape (site)
only flows can make by_day (found); misspelt (price: did you mean `prices`?); prices (found)"""

SHOW = """\
prices  asset, pipeline.py:21
  All prices that were ever found.

parameters
  option  type  default
  --found  list[int]  must be given
  --limit  int  9
  made by flows: prices.materialize(found=...)

inputs
  name  parameter  which partitions
  rates
  prices  as before  its version before

used by
  report

checks
  name  severity  declared
  not_too_many  block  pipeline.py:27

status
  missing"""

NEVER = """\
prices was never made
  because  no flow has made it yet
  readers see  nothing yet
  needed by  report (1 step)

next: legato show prices  what a flow gives it, to make it
      legato list kind:flow  the flows there are"""

BLOCKED = """\
report is blocked
  because  input missing: prices (flows make it)
  readers see  nothing yet

next: legato show prices  what a flow gives it, to make it
      legato list kind:flow  the flows there are"""

WRONG = """\
prices.materialize() missing a required argument: 'found'
report.materialize() got an unexpected keyword argument 'found'
ask_wrongly cannot make needs_task: it needs the task total [call-asset]
report has no partition 'x' [partition-key]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("made"), PIPELINE, CONFIG)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which a flow has published twice."""
    folder = make_project(tmp_path_factory.mktemp("watched"), PIPELINE, CONFIG)
    assert lg.load("prices", default=None, project=folder) is None
    assert legato(folder, "run", "watch", "--sites", "shop", "--sites", "other").returncode == 0
    return folder


def _printed(site: Path, node: str) -> str:
    return legato(site, "logs", "last", node).stdout


# -- before anything is made --


@pytest.mark.parametrize(
    ("words", "told"),
    [("check", CHECK), ("show prices", SHOW), ("why prices", NEVER), ("why report", BLOCKED)],
)
def test_what_is_told_of_what_flows_make(site: Path, words: str, told: str) -> None:
    assert steady(legato(site, *words.split()).stdout) == told


def test_no_plan_makes_it(site: Path) -> None:
    (told,) = records(legato(site, "plan", "--json").stdout)
    steps = {step["node"]: (step["action"], step["detail"]) for step in told["result"]["steps"]}
    assert steps == {
        "feed": ("skip", "v1"), "rates": ("run", ""), "total": ("run", ""), "needs_task": ("run", ""),
        "report": ("skip", "prices (flows make it)"),
    }  # fmt: skip
    for words in ("run prices", "run misspelt", "plan +by_day"):
        answer = legato(site, *words.split())
        assert (answer.returncode, "[flow-made]" in answer.stderr) == (2, True)


def test_what_does_not_fit_is_told_where_it_is_asked(site: Path) -> None:
    assert legato(site, "run", "ask_wrongly").returncode == 0
    assert _printed(site, "ask_wrongly") == WRONG


def test_a_flow_that_asks_too_early_hears_what_is_missing(tmp_path: Path) -> None:
    site = make_project(tmp_path, PIPELINE, CONFIG)
    answer = legato(site, "run", "too_early")
    assert answer.returncode == 1
    assert "prices is not published, but report needs it [input-missing]" in answer.stdout
    assert "nothing has made it before the flow asked" in answer.stdout


# -- made --


def test_each_version_is_made_of_the_one_before(watched: Path) -> None:
    assert lg.load("prices", project=watched) == [8, 10]
    assert lg.load("report", project=watched) == "18 v1"
    states = [(each["state"], each["current"]) for each in _versions(watched)]
    assert states == [("published", True), ("published", False)]


def test_a_step_reads_what_is_published(watched: Path) -> None:
    assert _printed(watched, "watch") == "so far: [8, 'nothing']\nso far: [8, 10, 'nothing']\n"


def test_plans_take_it_as_it_is(watched: Path) -> None:
    (told,) = records(legato(watched, "list", "prices", "rates", "report", "--json").stdout)
    assert [each["statuses"] for each in told["result"]] == [{"fresh": 1}] * 3
    assert "a flow published it, and plans take it as it is" in legato(watched, "why", "prices").stdout
    assert "nothing to run: 1 observed, 1 fresh" in legato(watched, "plan", "feed report").stdout


def test_another_version_makes_what_needs_it_stale(tmp_path: Path) -> None:
    site = make_project(tmp_path, PIPELINE, CONFIG)
    assert legato(site, "run", "watch").returncode == 0
    assert legato(site, "run", "takes_back").returncode == 1
    assert lg.load("prices", project=site) == [8]
    assert [each["current"] for each in _versions(site)] == [False, True]
    assert "nothing to run" in legato(site, "plan", "report").stdout
    assert legato(site, "rollback", "prices", "--to", _versions(site)[0]["version"], "--yes").returncode == 0
    assert lg.load("prices", project=site) == [8, 2]
    assert "input changed: prices" in legato(site, "plan", "prices+").stdout
    assert legato(site, "run", "prices+").returncode == 0
    assert lg.load("report", project=site) == "10 v1"


def test_a_blocking_check_keeps_readers_at_the_version_before(watched: Path, tmp_path: Path) -> None:
    watched = shutil.copytree(watched, tmp_path / "watched")
    answer = legato(watched, "run", "watch", "--sites", "a", "--sites", "b")
    assert answer.returncode == 1
    assert lg.load("prices", project=watched) == [8, 10, 2]
    assert "prices is quarantined" in legato(watched, "why", "prices").stdout
    assert _versions(watched)[0]["state"] == "quarantined"
    (told,) = records(legato(watched, "list", "prices", "--json").stdout)
    assert told["result"][0]["statuses"] == {"failed": 1}


def test_a_partition_is_made_by_its_key(site: Path) -> None:
    assert legato(site, "run", "keep", "--day", "2024-01-02").returncode == 0
    assert lg.load("by_day", "2024-01-02", project=site) == [2, 7]
    assert lg.load("by_day", "2024-01-01", project=site, default="none") == "none"
    assert "by_day: 1 never made, 1 fresh" in legato(site, "why", "by_day").stdout
    assert legato(site, "run", "keep", "--day", "2024-02-02").returncode == 1


def test_a_default_hides_nothing_but_absence(watched: Path, tmp_path: Path) -> None:
    with pytest.raises(lg.LegatoError, match="query-empty"):
        lg.load("nowhere", project=watched)
    with pytest.raises(lg.LegatoError, match="project-none"):
        lg.load("nowhere", default=1, project=tmp_path)


def _versions(site: Path) -> list[dict[str, object]]:
    (told,) = records(legato(site, "versions", "prices", "--json").stdout)
    versions: list[dict[str, object]] = told["result"]["versions"]
    return versions
