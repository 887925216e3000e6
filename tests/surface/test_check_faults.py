"""A project with ten planted faults: all ten are told at once, each with its file, line and hint."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import pytest

from legato.declare.pool import Limit
from legato.plan import validate
from legato.terms.errors import EXIT_INVALID, InvalidProject, LegatoError
from legato.worker.loading import load_project
from legato.worker.modules import Finder

CONFIG = """\
name = "broken"
modules = ["flights", "weather", "reports"]
worker = 2

[pools]
crm = 0
"""

FLIGHTS = """\
import legato as lg

days = lg.daily("2013-01-01", end="2014-01-01")


@lg.asset(retries=-1)
def flights():
    return 1


@lg.asset
def delays(flihgts):
    return flihgts


@lg.asset(name="delays")
def second():
    return 2


@lg.asset
def early(late):
    return late


@lg.asset
def late(early):
    return early


lg.check(flights, lg.not_null("carrier"))
missing = lg.check("fligths", lg.unique("flight"))


@lg.asset(partitions=lg.static(["EWR", "JFK"]))
def by_airport():
    return 1


@lg.asset(partitions=days)
def by_day(by_airport):
    return by_airport


@lg.task(pool="crn", timeout="soon")
def notify():
    return 1
"""

WEATHER = """\
import legato as lg
import no_such_package_anywhere
"""

REPORTS = """\
import legato as lg

@lg.asset
def report(:
    return 1
"""

TOLD = """\
legato.toml:3 config-key | did you mean `workers`?
legato.toml:6 pool-size | write crm = 1 or more
weather.py:2 module-import | pip install no_such_package_anywhere
reports.py:4 module-syntax | mend the line
flights.py:6 retries | write retries=3 or lg.Retry(3, ...)
flights.py:11 parameter | did you mean `flights`?
flights.py:16 duplicate-name | rename one of them
flights.py:21 cycle | cut one of these: early in flights.py:21, late in flights.py:26
flights.py:32 check-target | did you mean `flights`?
flights.py:40 mapping | say which partitions: deps={"by_airport": lg.all_partitions()}, or another mapping
flights.py:45 timeout | write for example 30s, 1h30m or 2d
flights.py:45 pool-unknown | did you mean `crm`?
"""


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    yield
    for finder in [each for each in sys.meta_path if isinstance(each, Finder)]:
        finder.withdraw()


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))


def told(root: Path) -> list[str]:
    with pytest.raises(InvalidProject) as caught:
        load_project(root, validate.faults)
    assert caught.value.exit_code == EXIT_INVALID
    return [f"{fault.place} {fault.code} | {fault.hint}" for fault in caught.value.faults]


def test_ten_planted_faults_and_two_more_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"legato.toml": CONFIG, "flights.py": FLIGHTS, "weather.py": WEATHER, "reports.py": REPORTS})
    assert "\n".join(told(tmp_path)) == TOLD.rstrip()


@pytest.mark.parametrize(("size", "hint"), [("slots=0", "write slots=1 or more"), ("slots=0, key='x'", "write slots=1 or more")])
def test_a_pool_of_no_size_is_one_fault(tmp_path: Path, size: str, hint: str) -> None:
    code = f"import legato as lg\n\n@lg.task(pool=lg.Pool({size}))\ndef never(x: int) -> int:\n    return x\n"
    code += "\n@lg.flow\ndef calls() -> int:\n    return never(1)\n"
    write(tmp_path, {"legato.toml": 'modules = ["pipeline"]\n', "pipeline.py": code})
    assert told(tmp_path) == [f"pipeline.py:3 pool-size | {hint}"]


def test_a_folder_without_a_project_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(LegatoError) as caught:
        load_project(tmp_path)
    assert (caught.value.code, caught.value.exit_code, caught.value.next) == ("project-none", 4, "legato init")
    assert "no legato.toml here or above" in str(caught.value)


def test_the_project_is_found_from_any_folder_below(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": '[project]\nname = "airline"\n[tool.legato]\nmodules = ["flows/daily.py"]\npools = { crm = 2 }\n',
        "src/flows/__init__.py": "",
        "src/flows/daily.py": "import legato as lg\n@lg.asset(pool='crm')\ndef flights(): return 1\n",
        "docs/deep/page.md": "",
    }
    write(tmp_path, files)
    loaded = load_project(tmp_path / "docs" / "deep")
    assert (loaded.config.name, loaded.config.root, loaded.config.modules) == ("airline", tmp_path, ("flows/daily.py",))
    assert loaded.project.pools == {"crm": Limit(2)}
    assert str(loaded.project.nodes["flights"].place) == "src/flows/daily.py:2"
    assert loaded.code.body("flights").fn() == 1


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"legato.toml": "modules = ["}, "legato.toml config-toml"),
        ({"legato.toml": ""}, "legato.toml config-modules"),
        ({"legato.toml": 'modules = "flows"'}, "legato.toml:1 config-modules"),
        ({"legato.toml": 'modules = ["flows"]'}, "legato.toml module-missing"),
        ({"legato.toml": 'modules = ["my-flows.py"]', "my-flows.py": ""}, "legato.toml module-name"),
        ({"legato.toml": 'modules = ["../flows.py"]'}, "legato.toml module-name"),
        ({"legato.toml": 'modules = ["json"]', "json.py": ""}, "legato.toml module-shadowed"),
        ({"legato.toml": 'modules = ["sys"]', "sys.py": ""}, "legato.toml module-shadowed"),
        ({"legato.toml": 'modules = ["flows"]', "flows/daily.py": ""}, "legato.toml module-empty"),
        ({"legato.toml": 'modules = ["f"]\nworkers = -1', "f.py": ""}, "legato.toml:2 config-value"),
        ({"legato.toml": 'modules = ["f"]\nexecutor = "moon"', "f.py": ""}, "legato.toml:2 config-value"),
        ({"legato.toml": 'modules = ["f"]\nstorage = "moon"', "f.py": ""}, "legato.toml:2 storage-unknown"),
        ({"legato.toml": 'modules = ["f"]\n[storages.lake]\nx = 1', "f.py": ""}, "legato.toml:2 config-value"),
        ({"legato.toml": 'modules = ["f"]\n[broker]\nkind = "post"', "f.py": ""}, "legato.toml:2 config-value"),
        ({"legato.toml": 'modules = ["f"]\n[broker]\nkind = "nats"\nurl = "x"', "f.py": ""}, "legato.toml:4 config-value"),
        (
            {"legato.toml": 'modules = ["f"]\n[broker]\nkind = "redis"\nurl = "redis://:p@h"', "f.py": ""},
            "legato.toml:4 config-value",
        ),
        ({"legato.toml": 'modules = ["f"]\n[broker]\nkind = "nats"\nport = 1', "f.py": ""}, "legato.toml:4 config-value"),
        ({"legato.toml": 'modules = ["f"]\nbroker = "nats"', "f.py": ""}, "legato.toml:2 config-value"),
        ({"legato.toml": 'modules = ["f"]\n[buckets.landing]', "f.py": ""}, "legato.toml:2 config-value"),
        ({"legato.toml": 'modules = ["f"]\n[buckets."s3://a"]\nevery = "0s"', "f.py": ""}, "legato.toml:3 config-value"),
        ({"legato.toml": 'modules = ["f"]\n[buckets."s3://a"]\nsecret = "X"', "f.py": ""}, "legato.toml:2 config-value"),
        (
            {"legato.toml": 'modules = ["f"]', "f.py": "import legato as lg\n@lg.flow(on=lg.message('x'))\ndef a(): ..."},
            "f.py:2 trigger-broker",
        ),
        (
            {"legato.toml": 'modules = ["f"]', "f.py": "import legato as lg\n@lg.flow(on=lg.file('s3://b/*'))\ndef a(): ..."},
            "f.py:2 trigger-bucket",
        ),
        ({"legato.toml": 'modules = ["f"]', "f.py": "import sys\nsys.exit(3)"}, "f.py:2 module-exit"),
        ({"legato.toml": 'modules = ["f"]', "f.py": "\n1 / 0"}, "f.py:2 module-import"),
        ({"legato.toml": 'modules = ["f"]', "f.py": "import g", "g.py": "\nx = 5\nx.y"}, "g.py:3 module-import"),
        ({"legato.toml": 'modules = ["f"]', "f.py": "import legato as lg\nlg.daily('soon')"}, "f.py:2 partitions"),
        (
            {"legato.toml": 'modules = ["f"]', "f.py": "import legato as lg\nlg.check('a', lg.not_null('x'))"},
            "f.py:2 check-unbound",
        ),
    ],
)
def test_what_cannot_be_loaded_is_a_fault(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    write(tmp_path, files)
    [only] = told(tmp_path)
    place, _, hint = only.partition(" | ")
    assert place.removeprefix(f"{tmp_path}/") == expected
    assert hint


def test_a_second_load_sees_the_source_as_it_is_now(tmp_path: Path) -> None:
    text = "import legato as lg\nfrom rates import RATE\n@lg.asset\ndef a(): return RATE\n"
    write(tmp_path, {"legato.toml": 'modules = ["flows"]', "flows.py": text, "rates.py": "RATE = 1\n"})
    first = load_project(tmp_path)
    again = load_project(tmp_path)
    (tmp_path / "rates.py").write_text("RATE = 2\n")
    second = load_project(tmp_path)
    assert first.project.fingerprint == again.project.fingerprint != second.project.fingerprint
    assert (first.code.body("a").fn(), second.code.body("a").fn()) == (1, 2)


def test_an_invalid_project_leaves_the_last_good_one_in_place(tmp_path: Path) -> None:
    write(tmp_path, {"legato.toml": 'modules = ["flows"]', "flows.py": "import legato as lg\n@lg.asset\ndef a(): return 1\n"})
    load_project(tmp_path)
    good = sys.modules["flows"]
    path, finders = list(sys.path), list(sys.meta_path)
    write(tmp_path, {"flows.py": "import rates\n1 / 0\n", "rates.py": ""})
    told(tmp_path)
    assert sys.modules["flows"] is good
    assert "rates" not in sys.modules
    assert (sys.path, sys.meta_path) == (path, finders)


def test_two_projects_may_name_their_modules_alike(tmp_path: Path) -> None:
    for name in ("one", "two"):
        flows = f"import legato as lg\n@lg.asset\ndef {name}(): return 1\n"
        write(tmp_path / name, {"legato.toml": 'modules = ["flows"]', "flows.py": flows})
        assert list(load_project(tmp_path / name).project.nodes) == [name]


def test_every_process_and_folder_finds_the_same_version(tmp_path: Path) -> None:
    flows = """\
        import legato as lg
        NAMES = {"a", "b", "c"}
        @lg.asset(tags={"x", "y", "z"})
        def a(): return [name for name in NAMES if name in {"a", "c", "d"}]
        b = lg.asset(name="b")(eval("lambda a: a in {'p', 'q', 'r'}"))
        lg.check(a, lg.in_set("x", {"u", "v", "w"}))
    """
    script = "import sys; from pathlib import Path; from legato.worker.loading import load_project\n"
    script += "print(load_project(Path(sys.argv[1])).project.fingerprint)"
    versions = set()
    for seed in ("1", "2", "3"):
        write(tmp_path / seed, {"legato.toml": 'name = "same"\nmodules = ["flows"]', "flows.py": flows})
        command = [sys.executable, "-c", script, str(tmp_path / seed)]
        ended = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        versions.add(ended.stdout)
    assert len(versions) == 1


@pytest.mark.timing
def test_loading_is_linear(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        tasks = "".join(f"@lg.task\ndef t{i}(n=1):\n    return helper(n) + {i}\n\n" for i in range(count))
        text = f"import legato as lg\ndef helper(n): return n\n{tasks}"
        write(tmp_path / str(count), {"legato.toml": 'modules = ["flows"]', "flows.py": text})
        started = process_time()
        assert len(load_project(tmp_path / str(count)).project.nodes) == count
        return process_time() - started

    seconds(10)
    few, many = (min(seconds(count) for _ in range(3)) for count in (200, 2000))
    assert many < 25 * few, "ten times as much takes about ten times as long; a hundred times would be quadratic"


def test_loading_writes_no_bytecode(tmp_path: Path) -> None:
    write(tmp_path, {"legato.toml": 'modules = ["flows"]', "flows.py": ""})
    load_project(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flows.py", "legato.toml"]
