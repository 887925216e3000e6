"""The comparison with other tools: ours runs as it stands there, and the lines are counted as the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "comparison.md").read_text()
BLOCK = re.compile(r"^```(?:python|toml)\n# (?P<file>[\w.]+)(?:, with (?P<tool>\w+))?\n(?P<code>.*?)^```$", re.M | re.S)
BLOCKS = [(match["file"], match["tool"], match["code"]) for match in BLOCK.finditer(PAGE)]
ROW = re.compile(
    r"\| (?P<there>\d+) lines[^|]*\| (?P<here>\d+) lines and (?P<config>\d+) of configuration \| (?P<tutorial>\d+) lines"
)


def code_of(file: str, tool: str) -> str:
    (code,) = [code for name, made_with, code in BLOCKS if (name, made_with) == (file, tool)]
    return code


def config_of(name: str) -> str:
    (code,) = [code for file, _, code in BLOCKS if file == "legato.toml" and f'name = "{name}"' in code]
    return code


def count(code: str) -> int:
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in code.splitlines())


@pytest.mark.parametrize(("name", "tool", "row"), [("stats", "Prefect", 0), ("orders", "Airflow", 1)])
def test_ours_needs_no_more_lines(name: str, tool: str, row: int) -> None:
    theirs, ours, config = code_of(f"{name}.py", tool), code_of(f"{name}.py", "Legato"), config_of(name)
    compile(theirs, name, "exec")
    told = list(ROW.finditer(PAGE))[row]
    counted = {"there": count(theirs), "here": count(ours), "config": count(config)}
    assert counted == {key: int(told[key]) for key in counted}
    assert counted["here"] + counted["config"] <= counted["there"] <= int(told["tutorial"])


class Index(BaseHTTPRequestHandler):
    """Answers how often a package was downloaded; the first time it is asked, it is out of order."""

    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(500 if len(self.asked) == 1 else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"downloads": 10 * len(self.path)}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index() -> Iterator[str]:
    Index.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Index) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(folder: Path, name: str, flow: str, **variables: str) -> str:
    """What the flow prints, as its page has it."""
    (folder / f"{name}.py").write_text(code_of(f"{name}.py", "Legato"))
    (folder / "legato.toml").write_text(config_of(name))
    legato = [sys.executable, "-m", "legato", "-C", str(folder)]
    for words in (["run", flow], ["logs", "last"]):
        done = subprocess.run([*legato, *words], env={**os.environ, **variables}, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_data_pipeline_runs(tmp_path: Path, index: str) -> None:
    told = run(tmp_path, "stats", "show_downloads", INDEX_URL=index)
    assert "polars: 70 downloads\nduckdb: 70 downloads\nmsgspec: 80 downloads\n" in told
    assert len(Index.asked) == 4
    run(tmp_path, "stats", "show_downloads", INDEX_URL=index)
    assert len(Index.asked) == 4, "the second run takes over what the first has read"


def test_the_orders_are_counted(tmp_path: Path) -> None:
    assert "the orders add up to 99.75" in run(tmp_path, "orders", "count_orders")
