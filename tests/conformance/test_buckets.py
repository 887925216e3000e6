"""Buckets are listed page by page, in order, with what tells one state of an object from another; S3 as it talks on the wire."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from obstore.store import MemoryStore

from legato.buckets.store import StoreBucket, open_bucket
from legato.terms.errors import Unreachable


def test_a_page_is_full_until_the_last_and_in_order() -> None:
    store = MemoryStore()
    for number in range(25):
        store.put(f"in/{number:02}.csv", b"x" * number)
    store.put("in2/other.csv", b"")
    bucket = StoreBucket("memory://", store)
    pages, after = [], ""
    while not pages or len(pages[-1]) == 10:
        pages.append(bucket.list("in/", after, 10))
        after = pages[-1][-1].name
    assert [len(page) for page in pages] == [10, 10, 5]
    found = [each for page in pages for each in page]
    assert [(each.name, each.size) for each in found] == [(f"in/{number:02}.csv", number) for number in range(25)]
    assert bucket.list("nothing/", "", 10) == []
    assert len(bucket.list("", "", 100)) == 26


def test_other_bytes_have_another_digest() -> None:
    store = MemoryStore()
    store.put("a", b"1")
    bucket = StoreBucket("memory://", store)
    (first,), (same,) = bucket.list("", "", 10), bucket.list("", "", 10)
    store.put("a", b"2")
    (other,) = bucket.list("", "", 10)
    assert first == same
    assert first.digest
    assert first.digest != other.digest


class FakeS3(BaseHTTPRequestHandler):
    """Answers ListObjectsV2 as S3 does, and remembers who asked."""

    keys: ClassVar[list[str]] = [f"in/{number}.csv" for number in range(5)]
    asked: ClassVar[list[tuple[str, dict[str, list[str]], str]]] = []
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        self.asked.append((parts.path, query, self.headers.get("Authorization", "")))
        after, prefix = query.get("start-after", [""])[0], query.get("prefix", [""])[0]
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e-{key}&quot;</ETag>"
            "<Size>3</Size></Contents>"
            for key in self.keys if key > after and key.startswith(prefix)
        )  # fmt: skip
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeS3)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    FakeS3.asked.clear()
    FakeS3.status = 200
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


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
