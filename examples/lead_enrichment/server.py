"""A directory of companies over HTTP, as one buys it: slow, shaky, and with a limit that it enforces.

More than `LIMIT` requests in any second are a violation: they get a 429, and are counted. Some companies are trouble, each in its
own way, on the first visit or always. All of it follows from the names.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Lock, Thread

LIMIT = 40
ANSWERS_AFTER_S = 0.04
HANGS, BUSY, UNKNOWN, BROKEN = "lumen.example", "quartz.example", "vesper.example", "zephyr.example"
SHAKY = ("amber.example", "cedar.example", "flint.example", "indigo.example", "onyx.example", "tundra.example")
NAMES = (
    "acorn amber basil birch cedar coral delta ember fable flint garnet grove harbor hazel indigo iris jasper "
    "juniper kelp lagoon lumen maple marble nectar nimbus oak onyx opal orchid pebble pine plume quartz quill raven "
    "reef ridge river rowan sable sage slate spruce topaz tundra vale vesper willow yarrow zephyr"
)


def leads() -> list[dict]:
    """Who filled in the form on the website since yesterday."""
    return [{"company": f"{name}.example", "visits": Random(name).randint(1, 30)} for name in NAMES.split()]


class Directory(ThreadingHTTPServer):
    """Serves on a free port of this machine while the `with` block runs, and counts what it answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answered: Counter[str] = Counter()
        self._visits: Counter[str] = Counter()
        self._recent: deque[float] = deque()
        self._lock = Lock()

    def __enter__(self) -> Directory:
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Nothing: who asked has given up waiting."""

    def answer(self, path: str) -> tuple[int, object]:
        """Status and body of the answer to one request."""
        if path == "/leads":
            return 200, leads()
        company = path.removeprefix("/companies/")
        with self._lock:
            outcome = self._judge(company)
            self.answered[outcome] += 1
        if outcome in ("violation", "busy"):
            return 429, "too many requests" if outcome == "violation" else "not now"
        time.sleep(5 if outcome == "hangs" else ANSWERS_AFTER_S)
        chance = Random(company)
        found = {"people": chance.choice((4, 30, 120, 900)), "industry": chance.choice(("retail", "energy", "finance"))}
        return {"unknown": (404, "no such company"), "broken": (500, "out of order")}.get(outcome, (200, found))

    def _judge(self, company: str) -> str:
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - 1:
            self._recent.popleft()
        self._recent.append(now)
        self._visits[company] += 1
        is_first = self._visits[company] == 1
        if len(self._recent) > LIMIT:
            return "violation"
        if is_first and company in (HANGS, BUSY):
            return "hangs" if company == HANGS else "busy"
        if company == BROKEN or (is_first and company in SHAKY):
            return "broken"
        return "unknown" if company == UNKNOWN else "found"


class Request(BaseHTTPRequestHandler):
    """One request: JSON out."""

    server: Directory

    def do_GET(self) -> None:
        """Answer."""
        status, body = self.server.answer(self.path)
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Nothing: the demo tells what is worth telling."""
