"""A store that answers lists as S3 does, on a port of this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit


class FakeS3(BaseHTTPRequestHandler):
    """Answers ListObjectsV2 as S3 does, and remembers who asked."""

    keys: ClassVar[list[str]] = []
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


@contextmanager
def serving_s3(keys: list[str]) -> Iterator[str]:
    """The endpoint of a store with these objects."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeS3)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    FakeS3.asked.clear()
    FakeS3.status = 200
    FakeS3.keys[:] = keys
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
