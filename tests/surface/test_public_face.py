"""What `import legato` gives: a small face, fetched when it is used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from statistics import median
from time import perf_counter

import pytest

import legato as lg

NAMES = """
    asset assets source task flow check resource secret
    Partition hourly daily weekly monthly static dynamic product
    Input previous look_back all_partitions mapping
    contract column not_null unique row_count in_range in_set matches expression
    cron every updated keep_fresh file webhook message trigger
    sleep approval signal external
    log metric progress table markdown image
    load Retry Cache Pool rate Context Secret Future TaskFailed LegatoError
""".split()  # noqa: SIM905


def test_the_face_has_these_names_and_no_others() -> None:
    assert lg.__all__ == NAMES
    assert len(NAMES) <= 64
    assert set(dir(lg)) == {*NAMES, "__version__"}


@pytest.mark.parametrize("name", NAMES)
def test_each_name_leads_somewhere_and_says_what_it_is_for(name: str) -> None:
    assert inspect.getdoc(getattr(lg, name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'flow_of_time'"):
        lg.flow_of_time  # noqa: B018


@pytest.mark.parametrize("decorator", [lg.asset, lg.assets, lg.source, lg.task, lg.flow, lg.check, lg.resource])
def test_no_decorator_has_more_than_sixteen_keywords(decorator: object) -> None:
    parameters = inspect.signature(decorator).parameters.values()  # type: ignore[arg-type]
    assert len([each for each in parameters if each.kind is each.KEYWORD_ONLY]) <= 16


def test_importing_loads_none_of_its_own_modules_and_no_library() -> None:
    script = "import sys; before = set(sys.modules); import legato; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.startswith("legato")] == ["legato"]
    assert not {"msgspec", "rich", "click", "asyncio", "polars", "threading"} & set(loaded)


@pytest.mark.timing
def test_importing_costs_less_than_fifty_milliseconds() -> None:
    def seconds(script: str) -> float:
        started = perf_counter()
        subprocess.run([sys.executable, "-c", script], check=True)
        return perf_counter() - started

    costs = [seconds("import legato") - seconds("pass") for _ in range(5)]
    assert median(costs) < 0.05
