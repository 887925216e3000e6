"""Objects in S3: asked as it talks on the wire, and each one run of a service whose listener is killed meanwhile."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts_site import count_ended, kill, reading, running, up, wait_until
from s3_site import FakeS3, serving_s3

from legato.buckets.store import open_bucket
from legato.terms.errors import Unreachable

PROJECT = """
import legato as lg

@lg.flow(on=lg.file("s3://landing/in/*.csv"))
def take(path: str, key: str, digest: str) -> None:
    assert path == f"s3://landing/in/{key}.csv"
    assert digest == f'"e-in/{key}.csv"'
"""


@pytest.fixture
def endpoint() -> Iterator[str]:
    with serving_s3([f"in/{number}.csv" for number in range(5)]) as opened:
        yield opened


def test_a_bucket_of_s3_is_asked_with_its_keys(endpoint: str) -> None:
    bucket = open_bucket("s3://landing", endpoint=endpoint, region="eu-central-1", access="AKID", secret="hidden")
    found = bucket.list("in/", "in/1.csv", 2)
    assert [(each.name, each.digest, each.size) for each in found] == [
        ("in/2.csv", '"e-in/2.csv"', 3), ("in/3.csv", '"e-in/3.csv"', 3),
    ]  # fmt: skip
    path, query, authorization = FakeS3.asked[0]
    assert (path, query["prefix"], query["start-after"]) == ("/landing", ["in/"], ["in/1.csv"])
    assert "Credential=AKID/" in authorization
    assert "eu-central-1/s3" in authorization
    assert "hidden" not in authorization


def test_a_bucket_that_does_not_answer_is_said_in_time_and_no_key_is_told(endpoint: str) -> None:
    FakeS3.status = 403
    bucket = open_bucket("s3://landing", endpoint=endpoint, region="x", access="AKID", secret="hidden")
    with pytest.raises(Unreachable) as raised:
        bucket.list("in/", "", 2)
    assert raised.value.code == "bucket"
    assert "hidden" not in str(raised.value)
    nobody = open_bucket("s3://landing", endpoint="http://127.0.0.1:1", region="x", access="AKID", secret="hidden")
    with pytest.raises(Unreachable):
        nobody.list("in/", "", 2)


@pytest.mark.long
def test_each_object_is_one_run_whoever_is_killed(tmp_path: Path) -> None:
    with serving_s3(["in/a.csv", "in/b.csv", "in/notes.txt", "other/c.csv"]) as endpoint:
        (tmp_path / "legato.toml").write_text(
            f'modules = ["flows"]\nworkers = 1\n[buckets."s3://landing"]\nendpoint = "{endpoint}"\nregion = "x"\n'
            'access = "LANDING_KEY"\nsecret = "LANDING_SECRET"\nevery = "1s"\n'
        )
        (tmp_path / "flows.py").write_text(PROJECT)
        keys = {"LANDING_KEY": "AKID", "LANDING_SECRET": "kept by nobody 49"}
        with running(up(tmp_path, "--no-api"), tmp_path / "up.txt", keys) as service:
            wait_until((tmp_path / ".legato" / "state.db").exists)
            wait_until(lambda: count_ended(tmp_path) == 2)
            kill(service.pid, "listener")
            FakeS3.keys += ["in/c.csv"]
            wait_until(lambda: count_ended(tmp_path) == 3)
            kill(service.pid, "conductor")
            FakeS3.keys += ["in/d.csv"]
            wait_until(lambda: count_ended(tmp_path) == 4)
            time.sleep(3)  # for what would come twice
            with reading(tmp_path) as store:
                runs, decisions = store.runs(limit=100), store.decisions("take", limit=100)
            service.send_signal(signal.SIGINT)
            service.wait(60)
        assert (len(runs), len(decisions)) == (4, 4)
        assert "Credential=AKID/" in FakeS3.asked[-1][2]
    assert "kept by nobody" not in (tmp_path / "up.txt").read_text()
