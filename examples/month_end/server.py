"""A ledger over HTTP, as the group's accounting system might offer it. What it holds lives in this process alone.

GET what stands under a path, PUT something there, DELETE it: each may be said twice and happens once. An entity's books are
made up from its name and the month. Nothing of an entity that the auditors have locked can be taken away.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import combinations
from random import Random
from threading import Thread

ENTITIES = ("AT", "CH", "DE", "US")


def books(month: str) -> dict[str, list[dict]]:
    """Each entity's side of what it and the others owe each other. The two sides of a debt differ by a little rounding."""
    chance, found = Random(month), {entity: [] for entity in ENTITIES}
    for creditor, debtor in combinations(ENTITIES, 2):
        cents = chance.randint(10_000, 900_000)
        found[creditor].append({"partner": debtor, "cents": cents})
        found[debtor].append({"partner": creditor, "cents": chance.randint(-40, 40) - cents})
    return found


class Ledger(ThreadingHTTPServer):
    """Serves on a free port of this machine while the `with` block runs; `records` is all that was put there."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.records: dict[str, object] = {}
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Ledger:
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def under(self, folder: str) -> list[str]:
        """The paths that stand below this one."""
        return sorted(path for path in self.records if path.startswith(f"{folder}/"))

    def answer(self, method: str, path: str, body: object) -> tuple[int, object]:
        """Status and body of the answer to one request."""
        kind, _, rest = path.partition("/")
        if method == "GET" and kind == "books":
            entity, month = rest.split("/")
            return 200, books(month)[entity]
        if method == "PUT":
            self.records.setdefault(path, body)
            return 200, path
        if method == "DELETE":
            if kind == "journals" and f"locks/{rest.split('/')[0]}" in self.records:
                return 423, "locked by the auditors"
            self.records.pop(path, None)
        return 200, self.records.get(path)


class Request(BaseHTTPRequestHandler):
    """One request: JSON in, JSON out. One that breaks off half-way, as its sender died, was never made."""

    server: Ledger

    def answer(self) -> None:
        """Answer whatever the method is."""
        length = int(self.headers.get("Content-Length", 0))
        sent = self.rfile.read(length)
        if len(sent) < length:
            return
        status, body = self.server.answer(self.command, self.path.strip("/"), json.loads(sent) if sent else None)
        self.send_response(status, body if isinstance(body, str) and status >= 400 else None)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    do_GET = do_PUT = do_DELETE = answer  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Nothing: the demo tells what is worth telling."""
