"""Results that later runs take over, on the real process tree."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_site import command, environment, legato, make_project, records, steady

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
from processes import kill_all, tree_of, wait_until_gone

PIPELINE = """\
import os
import time

import legato as lg


def witness(*words) -> None:
    with open("witness.txt", "ab", buffering=0) as file:
        file.write((" ".join(map(str, words)) + "\\n").encode())


@lg.task(cache="1d")
def enrich(lead: dict, depth: int = 1) -> dict:
    witness("enrich", lead["id"])
    print("enriching", lead["id"])
    time.sleep(float(os.environ.get("NAP", "0")))
    return {**lead, "rating": depth}


@lg.task(cache=lg.Cache(key=lambda rows: len(rows)))
def load(rows: list) -> list:
    witness("load", len(rows))
    return [0] * 100_000


@lg.task(cache=lg.Cache(version="7"))
def greet() -> str:
    witness("greet")
    return os.environ.get("GREETING", "hello")


@lg.task
def say(greet: str) -> None:
    print("said", greet)


@lg.flow
def leads(count: int = 3) -> int:
    rated = enrich.map({"id": number} for number in range(count))
    first = enrich({"id": 0})
    return len(rated) + len(load([1, 2])) + first["rating"]


@lg.flow(cache="1h")
def whole(count: int = 2) -> int:
    witness("whole", count)
    return len(enrich.map({"id": number} for number in range(count)))


@lg.task(undo=lambda result: witness("undo"))
def book() -> str:
    witness("book")
    return "b1"


@lg.task(cache="1d", undo=lambda result: witness("undo price"))
def price() -> int:
    witness("price")
    return 3


@lg.task(on_failure="rollback")
def fails() -> None:
    raise ValueError("no")


@lg.flow
def trip() -> None:
    price()
    book()
    fails()
"""
CONFIG = 'name = "crm"\nmodules = ["pipeline"]\nworkers = 2\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_project(tmp_path, PIPELINE, CONFIG)


def made(site: Path) -> list[str]:
    """What was made since the last call."""
    path = site / "witness.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    path.write_text("")
    return sorted(lines)


def run_id(site: Path) -> str:
    return str(records(legato(site, "runs", "-n", "1", "--json").stdout)[0]["result"][0]["id"])


def test_a_later_run_takes_over_what_was_made(site: Path) -> None:
    assert legato(site, "run", "leads").returncode == 0
    first = run_id(site)
    assert made(site) == ["enrich 0", "enrich 1", "enrich 2", "load 2"], "the equal call of the same run found it already"
    answer = legato(site, "run", "leads", "--count", "4")
    assert answer.returncode == 0
    assert made(site) == ["enrich 3"]
    assert f"cached  enrich#2  made by run {first}" in answer.stdout
    assert "succeeded TOOK: 7 succeeded (5 from cache)" in steady(answer.stdout).replace(" in TOOK", " TOOK")


def test_a_pin_leaves_all_other_calls_to_the_cache(site: Path) -> None:
    assert legato(site, "run", "leads").returncode == 0
    first = run_id(site)
    assert len(made(site)) == 4
    assert legato(site, "run", "leads", "--pin", f"enrich#2={first}").returncode == 0
    assert made(site) == []
    assert legato(site, "run", "leads", "--pin", f"enrich#2={first}", "--force").returncode == 0
    assert set(made(site)) == {"enrich 0", "enrich 2", "load 2"}


def test_it_is_said_wherever_people_and_programs_look(site: Path) -> None:
    legato(site, "run", "leads")
    first = run_id(site)
    streamed = records(legato(site, "run", "leads", "--json").stdout)
    steps = [each for each in streamed if each.get("event") == "step" and each["node"] == "enrich"]
    assert [(each["status"], each["cached"]) for each in steps] == [("succeeded", first)] * 4
    assert streamed[-1]["result"]["cached"] == 5
    (runs,) = records(legato(site, "runs", "--json").stdout)
    assert [each["cached"] for each in runs["result"]] == [5, 1]
    assert steady(legato(site, "runs").stdout).splitlines()[0] == "run  when  state  steps  cached  took  by  request"
    logs = legato(site, "logs", "last", "enrich")
    assert f"from the cache: enrich#1, enrich#2, enrich#3, enrich#4, made by run {first}" in logs.stderr
    told = [each for each in records(legato(site, "logs", "last", "enrich", "--json").stdout) if each["event"] == "cached"]
    assert [(each["step"], each["run"]) for each in told] == [(f"enrich#{number}", first) for number in (1, 2, 3, 4)]
    why = steady(legato(site, "why", "enrich").stdout)
    assert "cache  run RUN took 4 of 4 results from there, made by run RUN" in why
    assert "cache  up to 24 h 00 m old" in steady(legato(site, "show", "enrich").stdout)
    assert "cache  any age, by a key of its own" in steady(legato(site, "show", "load").stdout)


def test_force_makes_everything_anew(site: Path) -> None:
    legato(site, "run", "leads")
    made(site)
    assert "(1 from cache)" not in legato(site, "run", "leads", "--force").stdout
    assert made(site) == ["enrich 0", "enrich 0", "enrich 1", "enrich 2", "load 2"]


def test_changed_code_makes_its_own_results(site: Path) -> None:
    legato(site, "run", "leads")
    made(site)
    (site / "pipeline.py").write_text(PIPELINE.replace('"rating": depth}', '"rating": depth + 1}'))
    legato(site, "run", "leads")
    assert made(site) == ["enrich 0", "enrich 1", "enrich 2"]


def test_a_flow_may_be_taken_over_whole(site: Path) -> None:
    assert legato(site, "run", "whole").returncode == 0
    assert made(site) == ["enrich 0", "enrich 1", "whole 2"]
    answer = legato(site, "run", "whole")
    assert "1 succeeded (1 from cache)" in answer.stdout
    assert made(site) == []
    legato(site, "run", "whole", "--count", "1")
    assert made(site) == ["whole 1"]


def test_a_task_of_a_plan_may_be_taken_over(site: Path) -> None:
    legato(site, "run", "say")
    answer = legato(site, "run", "say", GREETING="other")
    assert made(site) == ["greet"]
    assert "2 succeeded (1 from cache)" in answer.stdout
    assert "said hello" in legato(site, "logs", "last", "say").stdout


def test_a_stored_value_that_is_gone_is_made_again_and_the_log_says_so(site: Path) -> None:
    legato(site, "run", "leads")
    first = run_id(site)
    made(site)
    (stored,) = (site / ".legato" / "data" / "load").rglob("*.json*")
    stored.unlink()
    answer = legato(site, "run", "leads")
    assert (answer.returncode, made(site)) == (0, ["load 2"])
    logs = legato(site, "logs", "last", "load").stdout
    assert f"legato: what run {first} made is in the cache, but " in logs
    assert "it is made again" in logs


def test_what_is_kept_in_the_cache_is_no_leftover(site: Path) -> None:
    legato(site, "run", "leads")
    legato(site, "run", "leads")
    answer = legato(site, "doctor")
    assert "leftovers    none" in answer.stdout
    assert legato(site, "doctor", "--fix").returncode == 0
    made(site)
    legato(site, "run", "leads")
    assert made(site) == []


def test_what_was_rolled_back_is_not_taken_over_and_what_was_taken_over_is_not_undone(site: Path) -> None:
    assert legato(site, "run", "trip").returncode == 1
    assert made(site) == ["book", "price", "undo", "undo price"]
    (site / "pipeline.py").write_text(PIPELINE + "\n\n@lg.flow\ndef prices() -> int:\n    return price()\n")
    legato(site, "run", "prices")
    assert made(site) == ["price"], "the run that made it first has taken it back"
    assert legato(site, "run", "trip").returncode == 1
    assert made(site) == ["book", "undo"], "what another run made is not this one's to take back"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 30))])
def test_what_is_recorded_is_in_the_cache_whatever_is_killed(site: Path, seed: int) -> None:
    """kill -9 at any moment: the next run makes what is not on record, and nothing else, and all results are right."""
    chance = random.Random(seed)
    words = ["run", "leads", "--count", "12"]
    process = subprocess.Popen(
        command(*words), cwd=site, env=environment(NAP="0.05"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(chance.uniform(0.3, 0.9))
    tree = tree_of(process.pid)
    kill_all(tree if chance.random() < 0.5 else [process.pid])
    process.wait(60)
    wait_until_gone(pid for pid in tree if pid != process.pid)
    made(site)
    answer = legato(site, *words)
    assert answer.returncode == 0, answer.stderr
    (last,) = records(legato(site, "runs", "-n", "1", "--json").stdout)
    again = len([line for line in made(site) if line.startswith(("enrich", "load"))])
    assert last["result"][0]["cached"] == 14 - again
    assert "(14 from cache)" in legato(site, *words).stdout
