"""Traces of a real service: they come to whoever the variables name, and nothing waits for who does not come."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from up_site import up, wait_until

PROJECT = """
import legato as lg

@lg.asset
def sales() -> list[int]:
    return [1]

@lg.asset
def report(sales: list[int]) -> int:
    raise ValueError("no numbers today")
"""


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    came: list[Any] = []

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Take)
    server.came = came  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def spans(collector: Any) -> dict[str, Any]:
    return {
        span["name"]: span for each in collector.came for span in each["resourceSpans"][0]["scopeSpans"][0]["spans"]
    }  # fmt: skip


def test_a_services_runs_are_traced(tmp_path: Path, collector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    with up(tmp_path, PROJECT, "up") as service:
        wait_until(lambda: service.get("/api/v1/ready") == 200)
        assert service.call("run", "+report", "--force")[0] == 1
        wait_until(lambda: len(spans(collector)) >= 3)
        service.end()
    found = spans(collector)
    (root,) = found.keys() - {"sales", "report"}
    assert found["report"]["status"] == {"code": 2, "message": "no numbers today"}
    assert {span["traceId"] for span in found.values()} == {found[root]["traceId"]}
    assert "parentSpanId" not in found[root]
    assert [found[name]["parentSpanId"] for name in ("sales", "report")] == [found[root]["spanId"]] * 2


def test_a_collector_that_is_not_there_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with up(tmp_path, PROJECT, "up") as service:
        wait_until(lambda: service.call("run", "sales", "--force")[0] == 0 and "spans wait in the store" in service.said())
        out = service.end()
    assert out.count("spans wait in the store") == 1
    assert out.rstrip().endswith("stopped")
