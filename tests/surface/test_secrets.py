"""Twenty secrets, leaked in every way a step has: nobody finds any of them in the store, logs, values, answers or files."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing, suppress
from http.client import HTTPConnection
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from below import contents_below
from cli_site import legato, make_project
from http_site import schema
from up_site import Up, wait_until

from legato.stores.sqlite import SqliteStore
from legato.surfaces.http.gate import API
from legato.worker.mask import Forms, forms_of

CONFIG = 'name = "leaky"\nmodules = ["pipeline"]\nworkers = 2\n'
PIPELINE = """
import base64, json, logging, os, signal, subprocess, sys, threading, time, urllib.parse
import polars as pl
import legato as lg

HERE = os.environ["FILES"]
MODULE = lg.secret("S00")


@lg.task
def of_the_module():
    print(MODULE.reveal())


@lg.task
def printed(s=lg.secret("S01")):
    print("it is", s.reveal(), file=sys.stderr)
    logging.getLogger().warning("and %s", s.reveal())


@lg.task(retries=1)
def raised(s=lg.secret("S02")):
    try:
        raise KeyError(s.reveal())
    except KeyError as error:
        raise ValueError(f"no {s.reveal()!r}") from error


@lg.task
def encoded(s=lg.secret("S03")):
    value = s.reveal()
    print(base64.b64encode(f"user:{value}".encode()), value.encode().hex(), urllib.parse.quote(value), json.dumps([value]))


@lg.task
def split(s=lg.secret("S04")):
    value = s.reveal()
    os.write(1, value[:7].encode())
    time.sleep(0.3)
    os.write(2, value[7:].encode())
    time.sleep(0.3)


@lg.task
def told(s=lg.secret("S05")):
    value = s.reveal()
    lg.log(f"with {value}", token=value)
    lg.progress(1, 2, value)
    lg.metric(value, 1.0, value)
    lg.table(value, [{value: value, "json": json.dumps({"a": value})}])
    lg.markdown(value, f"# {value}")
    lg.image(value, f"<svg>{value}</svg>".encode())


@lg.asset
def checked(s=lg.secret("S06")) -> pl.DataFrame:
    global LEAKED
    LEAKED = s.reveal()
    return pl.DataFrame({"a": [1, 2]})


@lg.check(checked, severity="warn")
def is_sound(checked: pl.DataFrame) -> tuple:
    return False, f"it is {LEAKED}"


@lg.task
def child(s=lg.secret("S07")):
    subprocess.run(["sh", "-c", "echo $S07; env; sleep 0.2"], check=True)


@lg.task
def killed(s=lg.secret("S08")):
    print("last words:", s.reveal(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


@lg.task
def crashed(s=lg.secret("S09")):
    print(s.reveal(), end="", flush=True)
    os.abort()


@lg.task(timeout="0.5s")
def hung(s=lg.secret("S10")):
    print(s.reveal(), end="")
    sys.stdout.flush()
    time.sleep(60)


@lg.task
def in_a_thread(s=lg.secret("S11")):
    def fail():
        raise RuntimeError(s.reveal())

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


@lg.task
def returned(s=lg.secret("S12")) -> int:
    return s.reveal()


@lg.task
def shown(s=lg.secret("S13")):
    s.reveal()
    print(s, repr(s), f"{s!r:>5}", [s])
    raise SystemExit(s.reveal())


class Door:
    def __init__(self, key):
        self.key = key


@lg.resource
def door(s=lg.secret("S14")) -> Door:
    print("opening with", s.reveal())
    return Door(s.reveal())


@lg.task
def through(door: Door):
    assert False, door.key


@lg.task(retries=lg.Retry(1, until=lambda result: False))
def awaited(s=lg.secret("S15")):
    return {"key": s.reveal()}


@lg.task
def of_a_file(s=lg.secret(f"file:{HERE}/S16")):
    for line in s.reveal().splitlines():
        print("line by line:", line)


@lg.task
def changed(s=lg.secret(f"file:{HERE}/S17")):
    value = s.reveal()
    with open(f"{HERE}/S17", "w") as file:
        file.write("another value")
    print(value)


@lg.task
def of_elsewhere(s=lg.secret("S18", source=lambda name: open(f"{HERE}/{name}").read())):
    print(s.reveal())
    raise ValueError(s.reveal())


@lg.task
def elsewhere_and_killed(s=lg.secret("S19", source=lambda name: open(f"{HERE}/{name}").read())):
    print(s.reveal(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""

KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqS16a\nhkiG9w0BAQEFAASCS16b\n-----END KEY-----"
VALUES = {f"S{number:02}": f'v{number:02}-{"pä/ss+w" * 2}"{number * 7919:06}' for number in range(20)} | {"S16": KEY}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    files = tmp_path / "files"
    files.mkdir()
    for name in ("S16", "S17", "S18", "S19"):
        (files / name).write_text(VALUES[name])
    return make_project(tmp_path / "project", PIPELINE, CONFIG)


def variables(site: Path) -> dict[str, str]:
    return {**{name: value for name, value in VALUES.items() if name < "S16"}, "FILES": str(site.parent / "files")}


FORMS = {name: Forms(forms_of(value)) for name, value in VALUES.items()}


def found_in(body: bytes) -> set[str]:
    return {name for name, forms in FORMS.items() if forms.hide(body) is not body}


def test_no_secret_comes_through(site: Path) -> None:
    seen: dict[str, set[str]] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for path, body in contents_below(site / ".legato" / "logs"):
                if found := found_in(body):
                    seen.setdefault(str(path), set()).update(found)
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.time()
    try:
        ran = legato(site, "run", "--no-wait", **variables(site))
    finally:
        done.set()
        watcher.join()
    assert ran.returncode == 1, ran.stdout
    assert seen == {}, "a log never shows what the mask has not seen"
    told = [ran]
    words = (
        "logs last", "logs last --json", "status last --json", "facts last", "facts last --json", "why raised", "why checked",
        "runs --json", "show through --json", "plan --json", "doctor --deep", "list", "check", "versions checked --json",
        "run raised --json --debug", "resume last",
    )  # fmt: skip
    told += [legato(site, *each.split(), **variables(site)) for each in words]
    for each in told:
        assert found_in(f"{each.stdout}{each.stderr}".encode()) == set(), each.args
    assert any("opening with ***" in each.stdout for each in told), "what was printed is there, but for the secrets"
    for path, body in contents_below(site / ".legato"):
        assert found_in(body) == set(), path
    store = SqliteStore(site / ".legato" / "state.db", read_only=True)
    for run in store.runs():
        assert found_in(store.plan(run.id)) == set()
        assert [found_in(body) for _, body in store.events(run.id) if found_in(body)] == []
    store.close()
    assert not [path for path in site.rglob("core*") if path.stat().st_mtime >= began], "no memory is written to a file"


class Reader:
    """Whoever may look at everything by the API of a service; `body` is all that was answered, `answered` by which routes."""

    def __init__(self, service: Up) -> None:
        self._port = service.port
        service.call("users", "add", "reader", "--role", "admin")
        headers = {"X-Legato": "1", "Content-Type": "application/json"}
        self._headers = {**headers, "Authorization": f"Bearer {service.legato('tokens', 'add', 'reader')['secret']}"}
        self.body, self.answered = b"", set[str]()

    def ask(self, route: str, path: str = "", body: object = None) -> Any:
        """What a route answers; nothing of what is no JSON."""
        client = self._client(30)
        try:
            content = None if body is None else json.dumps(body)
            client.request("GET" if body is None else "POST", path or route, content, headers=self._headers)
            answer = client.getresponse()
            told = answer.read()
            assert answer.status < 500, (path, told)
            self.body += told
            self.answered.update([route] if answer.status < 300 else [])
            return json.loads(told) if "json" in answer.headers["content-type"] else None
        finally:
            client.close()

    def follow(self, done: threading.Event) -> bytes:
        """The stream of changes from the first on; it is over when nothing came for a while, and it may be."""
        found, after = b"", 0
        while True:
            over, before = done.is_set(), after
            client = self._client(1)
            with closing(client), suppress(TimeoutError):
                client.request("GET", f"{API}/changes?after={after}", headers=self._headers)
                answer = client.getresponse()
                while line := answer.readline():
                    found += line
                    after = int(line[4:]) if line.startswith(b"id: ") else after
            if over and after == before:
                return found

    def ask_all(self, runs: list[str]) -> None:
        """Every route that looks, about everything that there is."""
        nodes = [each["name"] for each in self.ask(f"{API}/catalogue")]
        attempts = {
            run: [each["token"] for each in self.ask(f"{API}/runs/{{run}}/attempts", f"{API}/runs/{run}/attempts")]
            for run in runs
        }
        for route, methods in schema()["paths"].items():
            wanted = [each["name"] for each in methods.get("get", {}).get("parameters", []) if each.get("required")]
            about = {"name": nodes, "key": nodes, "of": nodes, "words": ["e", "***"], "word": ["asset"]}
            for run in runs if "run" in wanted else [""]:
                queries = [(name, about.get(name) or attempts[run]) for name in wanted if name != "run"]
                for values in (
                    product(*(values for _, values in queries)) if "get" in methods and not route.endswith("/changes") else ()
                ):
                    query = urlencode(dict(zip((name for name, _ in queries), values, strict=True)))
                    self.ask(route, f"{route.replace('{run}', run)}?{query}")

    def _client(self, timeout_s: float) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self._port, timeout=timeout_s)


NOT_THERE = {f"{API}/diff", f"{API}/key-set", f"{API}/backfills/{{run}}"}
"""Of what this project has none: another version of it, a dynamic set, a backfill."""


@pytest.mark.long
def test_no_secret_comes_through_a_service(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(site).items():
        monkeypatch.setenv(name, value)
    service, done, streamed = Up(site, workers=2), threading.Event(), list[bytes]()
    try:
        wait_until(lambda: service.get(f"{API}/health") == 200)
        reader = Reader(service)
        following = threading.Thread(target=lambda: streamed.append(reader.follow(done)))
        following.start()
        run = reader.ask(f"{API}/runs", body={"selection": ""})["run"]
        wait_until(lambda: reader.ask(f"{API}/runs/{{run}}", f"{API}/runs/{run}")["state"] == "failed", 90)
        done.set()
        following.join()
        reader.ask(f"{API}/plan", body={"selection": "raised", "force": True, "pins": [f"encoded={run}"]})
        reader.ask_all([run])
    finally:
        done.set()
        service.close()
    looking = {route for route, methods in schema()["paths"].items() if "get" in methods}
    assert looking - reader.answered == {*NOT_THERE, f"{API}/changes"}
    assert found_in(reader.body) == set()
    assert b"opening with ***" in reader.body, "what was printed is there, but for the secrets"
    (stream,) = streamed
    assert (stream.count(b"event: change") > len(VALUES), found_in(stream)) == (True, set())
    assert found_in(service.said().encode()) == set()
    for path, body in contents_below(site / ".legato"):
        assert found_in(body) == set(), path


LENDING = """
import os, subprocess
import legato as lg


def here():
    return os.environ.get("S01"), subprocess.run(["printenv", "S01"], capture_output=True, text=True).stdout.strip()


class Door:
    pass


@lg.resource
def door(s=lg.secret("S01")) -> Door:
    assert here() == (s.reveal(), s.reveal())
    return Door()


@lg.task
def has_it(door: Door, s=lg.secret("S01")):
    assert here() == (s.reveal(), s.reveal())
    raise ValueError("it had it")


@lg.task
def has_it_not(before, door: Door):
    assert here() == (None, ""), "also after one that had it, and with a resource that has it"
    return lg.secret("S01").reveal() != ""


@lg.asset
def before(s=lg.secret("S01")) -> str:
    assert here() == (s.reveal(), s.reveal())
    return "done"
"""


def test_a_variable_is_lent_to_who_declares_it(tmp_path: Path) -> None:
    site = make_project(tmp_path, LENDING, 'name = "p"\nmodules = ["pipeline"]\nworkers = 1\n')
    for _ in range(2):
        ran = legato(site, "run", "--force", S01=VALUES["S01"])
        assert "it had it" in ran.stdout, ran.stdout
        assert ran.stdout.count("AssertionError") == 0, ran.stdout
