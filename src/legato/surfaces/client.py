"""A small typed client of the HTTP API, over urllib: what programs use that are not on the service's machine.

    api = Client("http://127.0.0.1:4747", token)
    run = api.submit("+report", key="nightly-2026-11-21")
    for change in api.changes():
        ...

Answers are records of what matters most, and plain data by `get`; refusals are the errors that the command line tells too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from typing import Any, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import OpenerDirector, Request, build_opener

import msgspec
from msgspec import Struct

from legato.terms.errors import Forbidden, LegatoError, NotFound, Unreachable, UsageError

_KINDS: dict[int, type[LegatoError]] = {
    400: UsageError, 401: Forbidden, 403: Forbidden, 404: NotFound, 413: UsageError, 415: UsageError,
    429: Unreachable, 503: Unreachable, 504: Unreachable,
}  # fmt: skip


class RunSubmitted(Struct, frozen=True):
    """What became of a request: the run, or none where nothing was to be done; `new` is False if it was asked for before."""

    run: str
    new: bool
    request: str
    steps: int
    skipped: int
    reasons: dict[str, int]


class RunTold(Struct, frozen=True):
    """How a run is, or how it ended."""

    id: str
    request: str
    actor: str
    state: str
    at: str
    ended: str | None
    seconds: float | None
    steps: int
    counts: dict[str, int]


class StandingTold(Struct, frozen=True):
    """How far a backfill is: `requested` is the sum of the others, at every moment."""

    requested: int
    done: int
    failed: int
    cancelled: int
    pending: int


class BackfillTold(Struct, frozen=True):
    """A backfill, and how far it is."""

    id: str
    request: str
    state: str
    standing: StandingTold


class BackfillForeseen(Struct, frozen=True):
    """What a backfill would make, and what it takes going by history: seconds with the workers that it may use, and bytes."""

    request: str
    requested: int
    fresh: int
    blocked: int
    first: str
    last: str
    lasts_s: float
    work_s: float
    unknown: int
    size_bytes: float


class ChangeTold(Struct, frozen=True):
    """One change: its number, by which a stream is resumed, its run, and what it is."""

    number: int
    run: str
    what: str
    at: str
    step: int


class TriggerTold(Struct, frozen=True):
    """What runs by itself: on which node, when, and whether it stands still."""

    name: str
    kind: str
    trigger: str
    paused: bool


class DecisionTold(Struct, frozen=True):
    """What was decided of a tick: it fired, and became a run, or was skipped, and why."""

    number: int
    trigger: str
    key: str
    outcome: str
    why: str
    at: str
    sentence: str
    run: str


class PointTold(Struct, frozen=True):
    """A version of an asset, with the metrics that its attempt told."""

    number: int
    partition: str
    version: str
    state: str
    run: str
    at: str
    metrics: dict[str, float]


class _Triggers(Struct, frozen=True):
    triggers: list[TriggerTold]
    next: str


class _Decisions(Struct, frozen=True):
    decisions: list[DecisionTold]
    older: int


class _Series(Struct, frozen=True):
    points: list[PointTold]
    older: int


class _Runs(Struct, frozen=True):
    runs: list[RunTold]
    older: str


class Client:
    """The API at an address, as the owner of a token."""

    def __init__(self, url: str, token: str, *, timeout_s: float = 30.0) -> None:
        self._url, self._token, self._timeout_s = url.rstrip("/") + "/api/v1", token, timeout_s
        self._opener: OpenerDirector = build_opener()

    # -- runs --

    def submit(self, selection: str = "", *, force: bool = False, key: str = "", **params: Any) -> RunSubmitted:
        """Run a selection, or a flow with parameters. With a `key`, asking twice gives one run."""
        body = {"selection": selection, "force": force, "params": params, "key": key}
        return msgspec.convert(self.post("/runs", body), RunSubmitted)

    def run(self, run: str) -> RunTold:
        """How a run is."""
        return msgspec.convert(self.get(f"/runs/{quote(run, safe='')}"), RunTold)

    def runs(self, *, state: str = "", most: int = 1_000) -> Iterator[RunTold]:
        """Runs, newest first, page by page."""
        before = ""
        while most > 0:
            page = msgspec.convert(self.get("/runs", limit=min(most, 100), before=before, state=state), _Runs)
            yield from page.runs
            most, before = most - len(page.runs), page.older
            if not before:
                return

    def cancel(self, run: str, reason: str = "") -> None:
        """Stop a run."""
        self.post(f"/runs/{quote(run, safe='')}/cancel", {"reason": reason})

    def pause_run(self, run: str, reason: str = "") -> None:
        """Let a run stand still: nothing new starts, what is under way ends."""
        self.post(f"/runs/{quote(run, safe='')}/pause", {"reason": reason})

    def resume(self, run: str, *, failed_only: bool = False, code: Literal["", "then", "now"] = "") -> None:
        """Let a run go on, also a paused one; with `failed_only` what was cancelled stays so. `code` is that of now, or then."""
        wishes = (["failed_only=true"] if failed_only else []) + ([f"code={code}"] if code else [])
        self.post(f"/runs/{quote(run, safe='')}/resume" + (f"?{'&'.join(wishes)}" if wishes else ""), {})

    def answer(self, run: str, step: int, value: Any, reason: str = "") -> None:
        """Answer what a flow waits for."""
        self.post(f"/runs/{quote(run, safe='')}/waits/{step}", {"value": value, "reason": reason})

    def log(self, run: str, attempt: int) -> Iterator[str]:
        """All that an attempt wrote by now, in pieces."""
        start = 0
        while True:
            piece = self.get(f"/runs/{quote(run, safe='')}/log", attempt=attempt, start=start)
            if not piece["text"]:
                return
            yield piece["text"]
            start = piece["end"]

    # -- backfills --

    def foresee_backfill(self, selection: str = "", begin: str = "", end: str = "", **more: Any) -> BackfillForeseen:
        """What a backfill would make, and what it takes. `more` are `order`, `at_once`, `urgent`, `again`."""
        body = {"selection": selection, "from": begin, "to": end, **more}
        return msgspec.convert(self.post("/backfills/preview", body), BackfillForeseen)

    def backfill(self, selection: str = "", begin: str = "", end: str = "", *, key: str = "", **more: Any) -> RunSubmitted:
        """Make the partitions of a selection in a span of time, behind other work. With a `key`, asking twice gives one run."""
        body = {"selection": selection, "from": begin, "to": end, "key": key, **more}
        return msgspec.convert(self.post("/backfills", body), RunSubmitted)

    def standing(self, run: str) -> BackfillTold:
        """How far a backfill is."""
        return msgspec.convert(self.get(f"/backfills/{quote(run, safe='')}"), BackfillTold)

    # -- by itself --

    def triggers(self, select: str = "") -> Iterator[TriggerTold]:
        """What runs by itself, by name, page by page."""
        after = ""
        while True:
            page = msgspec.convert(self.get("/triggers", select=select, after=after), _Triggers)
            yield from page.triggers
            if not (after := page.next):
                return

    def decisions(self, trigger: str = "", *, most: int = 1_000) -> Iterator[DecisionTold]:
        """What was decided of one trigger's ticks, or of all, newest first, page by page."""
        before = 0
        while most > 0:
            page = msgspec.convert(
                self.get("/decisions", trigger=trigger, limit=min(most, 100), before=before or None), _Decisions
            )  # fmt: skip
            yield from page.decisions
            most, before = most - len(page.decisions), page.older
            if not before:
                return

    def pause(self, trigger: str) -> None:
        """Let a trigger stand still: what comes meanwhile is skipped for good."""
        self.post("/triggers/pause", {"trigger": trigger})

    def unpause(self, trigger: str) -> None:
        """Let a paused trigger go on."""
        self.post("/triggers/unpause", {"trigger": trigger})

    # -- data --

    def series(self, of: str, metric: str = "", *, most: int = 1_000) -> Iterator[PointTold]:
        """The metrics of an asset's versions, newest first; or one of them, of those versions that have it."""
        before = 0
        while most > 0:
            page = msgspec.convert(
                self.get("/series", of=of, metric=metric, limit=min(most, 100), before=before or None), _Series
            )  # fmt: skip
            yield from page.points[:most]
            most, before = most - len(page.points), page.older
            if not before:
                return

    def rollback(self, what: str, to: str = "") -> str:
        """Publish older versions again; the run that did."""
        return str(self.post("/rollback", {"what": what, "to": to})["run"])

    def add_keys(self, name: str, keys: list[str]) -> int:
        """Add keys to a dynamic set of partitions; how many are new."""
        return len(self.post("/keys", {"name": name, "keys": keys})["new"])

    # -- changes --

    def changes(self, after: int | None = None) -> Iterator[ChangeTold]:
        """Every change, as it is recorded, from now or from after a number on. A stream that breaks off is taken up again where
        it was, without gap or duplicate; `Unreachable` if nobody answers any more."""
        while True:
            with (
                self._open("GET", "/changes", {} if after is None else {"after": after}) as response,
                suppress(OSError, HTTPException),  # it broke off: whether anybody is still there, the next try finds out
            ):
                for number, change in _events(response):
                    after = number
                    if change is not None:
                        yield change

    # -- anything --

    def get(self, path: str, **params: object) -> Any:
        """What a route gives, as plain data."""
        return self._plain("GET", path, params, None)

    def post(self, path: str, body: object) -> Any:
        """What a change gives, as plain data."""
        return self._plain("POST", path, {}, body)

    def delete(self, path: str) -> Any:
        """What taking something away gives."""
        return self._plain("DELETE", path, {}, None)

    def _plain(self, method: str, path: str, params: dict[str, object], body: object) -> Any:
        with self._open(method, path, params, body) as response:
            return json.loads(response.read())

    def _open(self, method: str, path: str, params: dict[str, object], body: object = None) -> HTTPResponse:
        told = {name: value for name, value in params.items() if value not in ("", None)}
        url = self._url + path + (f"?{urlencode(told)}" if told else "")
        headers = {"Authorization": f"Bearer {self._token}", "X-Legato": "1", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        try:
            response: HTTPResponse = self._opener.open(Request(url, content, headers, method=method), timeout=self._timeout_s)
        except HTTPError as error:
            with error:
                raise _refusal(error.code, error.read()) from None
        except (URLError, OSError) as error:
            raise Unreachable("service-none", "no service answers", where=self._url, why=str(error), next="legato up") from error
        return response


def _refusal(status: int, body: bytes) -> LegatoError:
    kind = _KINDS.get(status, LegatoError)
    try:
        told = json.loads(body)
        return kind(told["code"], told["what"], where=told["where"], why=told["why"], next=told["next"])
    except (ValueError, KeyError, TypeError):
        return Unreachable("service-none", f"what answers is no service: {status}", next="look at its address")


def _events(response: HTTPResponse) -> Iterator[tuple[int, ChangeTold | None]]:
    number, content, kind = -1, b"", ""
    while line := response.readline():
        name, _, value = line.rstrip(b"\n").partition(b": ")
        if not name and number >= 0:
            yield number, msgspec.json.decode(content, type=ChangeTold) if kind == "change" else None
            number, content, kind = -1, b"", ""
        elif name == b"id":
            number = int(value)
        elif name == b"event":
            kind = value.decode()
        elif name == b"data":
            content = value
