"""The client, against the web process as it is started for real: without user code, small, and gone when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import pytest
from cli_site import PIPELINE, environment
from ports import free_port
from service_site import Service, serving

from legato.surfaces.client import Client
from legato.surfaces.http.serving import Address, listen
from legato.terms.errors import LegatoError, NotFound, Unreachable
from legato.wiring.state import open_keyring

IDLE_KB = 60_000
TELLS_WHO_LOADS_IT = """
with open(os.path.join(os.path.dirname(__file__), "loaded.txt"), "a") as file:
    file.write(f"{os.getpid()}\\n")
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("shop"), PIPELINE + TELLS_WHO_LOADS_IT) as running:
        yield running


@pytest.fixture(scope="module")
def web(service: Service) -> Iterator[tuple[subprocess.Popen[bytes], Address]]:
    address = Address(port=free_port())
    with listen(address) as sock:
        said, descriptor = msgspec.json.encode(address).decode(), sock.fileno()
        words = (sys.executable, "-m", "legato.surfaces.http", str(service.workspace.root), said, str(descriptor))
        process = subprocess.Popen(words, env=environment(), cwd="/", pass_fds=(descriptor,))
    try:
        _wait_for(address)
        yield process, address
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)


def _wait_for(address: Address) -> None:
    """Who connects before it serves waits in the socket that it was given."""
    with urllib.request.urlopen(f"{address.url}/api/v1/health", timeout=60) as answer:
        assert answer.status == 200


@pytest.fixture(scope="module")
def api(service: Service, web: tuple[subprocess.Popen[bytes], Address]) -> Client:
    from legato.service.access import new_token, new_user
    from legato.service.asks import ChangeAccess

    keyring = open_keyring(service.workspace.root)
    now = keyring.clock.now()
    secret, token = new_token("token", "robot", now)
    keyring.change(ChangeAccess(users=(new_user("robot", {"": "admin"}, now),), tokens=(token,)))
    return Client(web[1].url, secret)


def ended(api: Client, run: str) -> str:
    until = time.monotonic() + 60
    while (state := api.run(run).state) in ("open", "running", "interrupted"):
        assert time.monotonic() < until
        time.sleep(0.01)
    return state


def test_a_run_is_submitted_followed_and_read(api: Client) -> None:
    changes = api.changes(after=0)
    made = api.submit("prices", force=True, key="once")
    assert made.new
    assert not api.submit("prices", force=True, key="once").new
    assert ended(api, made.run) == "succeeded"
    mine = list(islice((each for each in changes if each.run == made.run), 3))
    assert [each.what for each in mine] == ["attemptsstarted", "stepsucceeded", "runended"]
    assert [each.number for each in mine] == sorted(each.number for each in mine)
    changes.close()
    assert made.run in [each.id for each in api.runs(state="succeeded")]


def test_output_is_read_in_pieces_by_line_and_by_words(api: Client) -> None:
    made = api.submit("sales@2013-01-30", force=True)
    assert ended(api, made.run) == "succeeded"
    attempt = api.get(f"/runs/{made.run}/attempts")[0]
    assert attempt["outcome"] == "succeeded"
    assert "".join(api.log(made.run, attempt["token"])) == "reading 2013-01-30\n"
    piece = api.get(f"/runs/{made.run}/log", attempt=attempt["token"], start=8, most=4)
    assert (piece["text"], piece["start"], piece["end"], piece["ended"]) == ("2013", 8, 12, False)
    assert api.get(f"/runs/{made.run}/log", attempt=attempt["token"], line=2)["text"] == ""
    found = api.get(f"/runs/{made.run}/log/search", words="READING")
    assert [(each["line"], each["start"], each["text"]) for each in found["matches"]] == [(1, 0, "reading 2013-01-30")]
    assert found["complete"]
    assert api.get(f"/runs/{made.run}/log/search", words="nothing of it")["matches"] == []


def test_steps_are_paged_and_failures_told(api: Client) -> None:
    made = api.submit("sales@2013-02-01", force=True)
    assert ended(api, made.run) == "failed"
    page = api.get(f"/runs/{made.run}/steps", limit=1)
    assert (page["steps"][0]["status"], page["steps"][0]["error"]["kind"]) == ("failed", "raised")
    assert page["next"] == -1
    assert api.get(f"/runs/{made.run}/steps", status="succeeded")["steps"] == []
    assert [each["asset"] for each in api.get("/troubles")] == ["sales"]
    api.resume(made.run)
    assert ended(api, made.run) == "failed"
    with pytest.raises(LegatoError) as raised:
        api.cancel(made.run)
    assert raised.value.code == "run-ended"


def test_an_older_version_is_published_again(api: Client) -> None:
    for key in ("v1", "v2"):
        ended(api, api.submit("prices", force=True, key=key).run)
    before = api.get("/versions", of="prices")["versions"]
    assert api.rollback("prices")
    after = api.get("/versions", of="prices")["versions"]
    current = [[each["version"] for each in page if each["current"]] for page in (before, after)]
    assert current[0] != current[1]


def test_pages_of_runs_have_each_once(api: Client) -> None:
    everything = [each.id for each in api.runs()]
    paged, before = [], ""
    while page := api.get("/runs", limit=2, before=before):
        paged += [each["id"] for each in page["runs"]]
        before = page["older"]
        if not before:
            break
    assert paged == everything
    assert len(set(paged)) == len(paged)


def test_errors_are_those_of_the_service(api: Client, web: tuple[subprocess.Popen[bytes], Address]) -> None:
    with pytest.raises(NotFound) as missing:
        api.run("0000")
    assert (missing.value.code, missing.value.next) == ("run", "legato runs")
    with pytest.raises(LegatoError) as unknown:
        Client(web[1].url, "guess").get("/me")
    assert unknown.value.code == "login-needed"
    with pytest.raises(Unreachable) as nobody:
        Client(f"http://127.0.0.1:{free_port()}", "x").get("/me")
    assert nobody.value.code == "service-none"


def test_the_web_process_is_small_and_loads_no_user_code(
    api: Client, service: Service, web: tuple[subprocess.Popen[bytes], Address]
) -> None:
    for path in ("/project", "/status", "/catalogue", "/lineage", "/runs", "/openapi"):
        api.get(path)
    status = Path(f"/proc/{web[0].pid}/status").read_text()
    resident_kb = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert resident_kb < IDLE_KB, f"{resident_kb} kB"
    loaded_by = (service.workspace.root / "loaded.txt").read_text().split()
    assert str(os.getpid()) in loaded_by
    assert str(web[0].pid) not in loaded_by
    maps = Path(f"/proc/{web[0].pid}/maps").read_text()
    assert not [name for name in ("polars", "pyarrow", "duckdb", "pandas") if name in maps]
