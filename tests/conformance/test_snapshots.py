"""Equal code is one version, however often it is loaded."""

from __future__ import annotations

from pathlib import Path

from legato.declare import snapshot
from legato.worker.loading import load_project

PIPELINE = """
import legato as lg

days = lg.daily("2013-01-01", end="2014-01-01")

@lg.asset(partitions=days, tags={"z", "a", "m"}, on=lg.cron("0 6 * * *"))
def flights(day: lg.Partition) -> list: return []

@lg.flow
def new_leads(wanted: set[str] = {"b", "a", "c"}, anything=object()): ...
"""


def test_a_thousand_loads_of_equal_code_are_one_version(tmp_path: Path) -> None:
    (tmp_path / "legato.toml").write_text('modules = ["often_loaded"]\n')
    (tmp_path / "often_loaded.py").write_text(PIPELINE)
    loads = (load_project(tmp_path) for _ in range(1000))
    bodies = {snapshot.encode(snapshot.take(loaded.project, loaded.code, loaded.source)) for loaded in loads}
    assert len(bodies) == 1
