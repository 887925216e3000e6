"""What steps tell, on the command line: `legato facts`, the summary of a run, lines of a log."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cli_site import command, environment, legato, make_project, records, steady

from legato.service.series import read_series
from legato.stores.sqlite import SqliteStore
from legato.surfaces.cli.numbers import number, sparkline

PIPELINE = """\
import time
from pathlib import Path

import legato as lg

days = lg.static(["mon", "tue"])
SECRET = lg.secret("SHOP_SECRET")


@lg.asset(partitions=days)
def sales(day: lg.Partition) -> list:
    lg.metric("rows", 1_500 if day.key == "mon" else 20, "rows")
    return [1]


@lg.asset(retries=lg.Retry(1, delay_s=0.01))
def model(sales: dict[str, list], me: lg.Context) -> int:
    lg.log("training", level="warning", attempt=me.attempt, on="two days")
    for number in range(2_000):
        lg.metric("loss", 1 / (number + 1))
        lg.progress(number + 1, 2_000, "fitting")
    lg.metric("try", me.attempt)
    if me.attempt == 1:
        raise ValueError("diverged")
    lg.table("by carrier", [{"carrier": "AA", "flights": 1200, "late": None}, {"carrier": "B\\x1b[31m6", "flights": 7}] * 15)
    lg.markdown("report", "# Report\\n\\nIt is **fine**.\\n")
    lg.image("confusion", '<svg xmlns="http://www.w3.org/2000/svg"></svg>')
    return 1


@lg.task
def leaky(key: str = SECRET) -> int:
    told = key.reveal()
    lg.log(f"key {told}", key=told)
    lg.metric(f"of {told}", 1, told)
    lg.progress(1, 2, told)
    lg.table(told, [{told: told}])
    lg.markdown(told, f"# {told}")
    lg.image(told, f"<svg>{told}</svg>")
    return 1


@lg.task
def measure(number: int) -> int:
    lg.metric("measured", number)
    return number


@lg.flow
def polls(rounds: int = 3) -> None:
    for number in range(rounds):
        lg.metric("round", measure(number))
        lg.image("picture", f"<svg>{number}</svg>")
        lg.progress(number + 1, rounds)
        lg.sleep("10ms")


@lg.flow
def lasts(until: str) -> None:
    lg.progress(3, 4, "nearly")
    lg.metric("half", 0.5)
    while not Path(until).exists():
        time.sleep(0.02)
"""
CONFIG = 'name = "shop"\nmodules = ["pipeline"]\nworkers = 2\n'
SECRET = "hunter2-of-the-shop"

MODEL = """\
── model (try 2)
  progress  ━━━━━━━━━━━━━━━━━━━━ 2,000/2,000 fitting
  metric  last  low  mean  high  values  course
  loss  0.0005  0.0005  0.00409  1  2,000  █▂▂▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
  try  2
  table by carrier, 2 of 30 rows
    carrier  flights  late
    AA  1200  null
    B [31m6  7  null
  text report
    # Report

    It is **fine**.
  image  kind  size  file
  confusion  svg  SIZE  FILE"""


@pytest.fixture(scope="module", params=["process", "inline"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_project(tmp_path_factory.mktemp("facts"), PIPELINE, f'{CONFIG}executor = "{request.param}"\n')
    answer = legato(made, "run", "sales", "model", "leaky", SHOP_SECRET=SECRET)
    assert answer.returncode == 0, answer.stderr
    (made / "said.txt").write_text(answer.stdout)
    return made


def told(text: str) -> str:
    """The answer, with what differs from run to run replaced."""
    return steady(re.sub(r"/\S+\.path/\S+", "FILE", text))


def facts(site: Path, *words: str) -> list[dict[str, object]]:
    (answer,) = records(legato(site, "facts", *words, "--json").stdout)
    found: list[dict[str, object]] = answer["result"]["steps"]
    return found


# -- a run's facts --


def test_all_that_a_step_told(site: Path) -> None:
    assert told(legato(site, "facts", "last", "model", "--rows", "2").stdout) == MODEL
    lines = told(legato(site, "facts").stdout).splitlines()
    assert [line for line in lines if line.startswith("──")] == ["── sales@mon", "── sales@tue", "── leaky", "── model (try 2)"]
    assert lines[:3] == ["── sales@mon", "  metric  last", "  rows  1,500 rows"]
    assert [line.split() for line in lines].count(["AA", "1200", "null"]) == 10


def test_another_try(site: Path) -> None:
    lines = told(legato(site, "facts", "last", "model", "--attempt", "1").stdout).splitlines()
    assert (lines[0], lines[-1]) == ("── model", "  try  1")
    assert told(legato(site, "facts", "last", "model", "--attempt", "3").stdout) == "model of run RUN told nothing"


def test_facts_in_json(site: Path) -> None:
    (model,) = facts(site, "last", "model")
    loss, tries = model.pop("metrics")  # type: ignore[misc]
    assert (loss["count"], loss["high"], len(loss["points"]), loss["points"][-1]["number"]) == (2_000, 1.0, 1_500, 2_000)
    assert (tries["last"], tries["unit"]) == (2, "")
    (table,), (image,) = model.pop("tables"), model.pop("images")  # type: ignore[misc]
    assert (table["columns"], table["total"], len(table["rows"])) == (["carrier", "flights", "late"], 30, 30)
    assert (image["name"], image["kind"], Path(image["file"]).name) == ("confusion", "svg", "confusion.svg")
    assert model.pop("progress")["message"] == "fitting"  # type: ignore[attr-defined]
    assert model.pop("texts") == [{"name": "report", "text": "# Report\n\nIt is **fine**.\n"}]
    assert (model.pop("name"), model.pop("attempt"), list(model)) == ("model", 2, ["step"])


def test_images_are_saved(site: Path, tmp_path: Path) -> None:
    answer = legato(site, "facts", "last", "model", "--save", str(tmp_path / "new" / "pictures"))
    assert answer.stdout.splitlines()[-1] == f"saved 1 image: {tmp_path}/new/pictures/model-confusion.svg"
    assert (tmp_path / "new" / "pictures" / "model-confusion.svg").read_text().startswith("<svg")
    (tmp_path / "file").touch()
    refused = legato(site, "facts", "--save", str(tmp_path / "file" / "below"))
    assert (refused.returncode, "[folder-unwritable]" in refused.stderr) == (1, True)


def test_there_may_be_nothing(site: Path, tmp_path: Path) -> None:
    quiet = make_project(tmp_path, "import legato as lg\n\n\n@lg.asset\ndef silent() -> int:\n    return 1\n")
    assert legato(quiet, "facts").returncode == 3
    assert "legato facts" not in legato(quiet, "run").stdout
    assert told(legato(quiet, "facts").stdout) == "no step of run RUN told anything"
    assert "has no step 'nobody'" in legato(site, "facts", "last", "nobody").stderr
    assert legato(site, "facts", "zzz").returncode == 3


# -- where a run is told --


def test_the_newest_metrics_are_told_at_the_end(site: Path) -> None:
    said = steady((site / "said.txt").read_text()).splitlines()
    assert "told  sales@mon: rows 1,500 rows" in said
    assert "told  model: loss 0.0005, try 2" in said
    assert said[-1].split() == ["legato", "facts", "RUN", "all", "that", "its", "steps", "told"]
    (report,) = records(legato(site, "status", "last", "--json").stdout)
    found = {(each["name"], each["metric"]): (each["value"], each["unit"]) for each in report["result"]["metrics"]}
    assert found["sales@tue", "rows"] == (20, "rows")
    assert report["result"]["facts"] == 2 + 2 * 1_501 + 3 + 4


def test_a_version_keeps_the_last_metrics_of_the_attempt_that_made_it(site: Path) -> None:
    store = SqliteStore(site / ".legato" / "state.db", read_only=True)
    (model,) = read_series(store, "model").points
    days = {each.partition: each.metrics for each in read_series(store, "sales").points}
    store.close()
    assert model.metrics == {"loss": 1 / 2_000, "try": 2}
    assert days == {"mon": {"rows": 1_500}, "tue": {"rows": 20}}


def test_log_lines_are_told_with_level_and_fields(site: Path) -> None:
    lines = legato(site, "logs", "last", "model").stdout.splitlines()
    assert [line.partition("Z ")[2] for line in lines if "training" in line and "Z " in line] == [
        'WARNING training attempt=1 on="two days"', 'WARNING training attempt=2 on="two days"',
    ]  # fmt: skip


def test_secrets_are_found_nowhere(site: Path) -> None:
    assert "key ***" in legato(site, "logs", "last", "leaky").stdout
    assert "of ***  1 ***" in told(legato(site, "facts", "last", "leaky").stdout)
    said = [legato(site, *words.split()).stdout for words in ("facts", "facts --json", "status last --json", "logs last")]
    assert not any(SECRET in text for text in [*said, (site / "said.txt").read_text()])
    files = [path for path in (site / ".legato").rglob("*") if path.is_file()]
    assert len([path for path in files if path.suffix == ".svg"]) == 2
    assert [path for path in files if SECRET.encode() in path.read_bytes() or SECRET in path.name] == []


# -- flows --


def test_a_flow_that_is_entered_again_tells_each_fact_once(site: Path, tmp_path: Path) -> None:
    site = shutil.copytree(site, tmp_path / "site")
    assert legato(site, "run", "polls").returncode == 0
    flow, *tasks = facts(site, "last")
    (series,) = flow["metrics"]  # type: ignore[misc]
    assert [point["value"] for point in series["points"]] == [0, 1, 2]
    assert flow["progress"]["done"] == 3  # type: ignore[index]
    assert len(list((site / ".legato" / "data" / "polls").rglob("*.svg"))) == 3
    assert [each["name"] for each in tasks] == ["measure#1", "measure#2", "measure#3"]
    (doctor,) = records(legato(site, "doctor", "--json").stdout)
    assert {each["subject"] for each in doctor["result"]["findings"] if each["level"] == "warning"} & {
        "leftovers",
        "strangers",
    } == set()


def test_a_running_step_says_how_far_it_is(tmp_path: Path) -> None:
    site = make_project(tmp_path / "site", PIPELINE, CONFIG)
    process = subprocess.Popen(command("run", "lasts", "--until", str(tmp_path / "go")), cwd=site, env=environment(), text=True)
    try:
        until = time.monotonic() + 60
        while ", 3/4 nearly" not in (said := legato(site, "status", "last").stdout):
            assert time.monotonic() < until, said
            time.sleep(0.05)
        (running,) = records(legato(site, "status", "last", "--json").stdout)[0]["result"]["running"]
        assert (running["progress"]["done"], running["progress"]["message"]) == (3, "nearly")
        assert "━━━━━━━━━━━━━━━───── 3/4 nearly" in legato(site, "facts").stdout
        (tmp_path / "go").touch()
        assert process.wait(60) == 0
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


# -- numbers --


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"), (15_000, "15,000"), (1.0, "1"), (0.125, "0.125"), (3.14159, "3.142"), (31.4159, "31.42"), (9_999.5, "10,000"),
        (-0.00001234, "-1.23e-05"), (1234567.891, "1,234,568"), (1e15, "1e+15"), (2e9 + 0.5, "2e+09"), (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)  # fmt: skip
def test_numbers_have_the_digits_that_count(value: float, words: str) -> None:
    assert number(value) == words


def test_a_course_in_small_bars() -> None:
    assert sparkline([]) == sparkline([(1, 5.0)]) == ""
    assert sparkline([(1, 1.0), (2, 2.0), (3, 3.0)]) == "▁▅█"
    assert sparkline([(1, 5.0), (2, 5.0)]) == "▁▁"
    assert sparkline([(number, float(number)) for number in range(1, 1001)]) == "▁▁▂▂▂▃▃▃▃▄▄▄▅▅▅▆▆▆▆▇▇▇██"
    assert sparkline([(1, 0.0), (2, 0.0), (1000, 7.0)], 4) == "▁▁▁█"
