"""The API over a running service, on a port of this machine, and a client that sends exactly what it is told to."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cli_site import PIPELINE
from service_site import Service, Triggered, serving

from legato.service import asks
from legato.service.access import ROLES, new_token, new_user
from legato.surfaces.http.app import build_routes
from legato.surfaces.http.gate import API
from legato.surfaces.http.schema import schema_of
from legato.surfaces.http.serving import Address, listen, make_server, make_site
from legato.wiring.state import open_mirror

BESIDE = ("/metrics",)
"""What stands beside the API, under no version."""


class Answer:
    """A response: its status, headers and body."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        return str(self.json()["code"])


class Door:
    """The API of a service: `secrets` are tokens by role."""

    def __init__(self, service: Service, **limits: float) -> None:
        self.service, workspace = service, service.workspace
        self._sock = listen(Address(port=0))
        self.port = self._sock.getsockname()[1]
        address = Address(port=self.port)
        self.host = f"127.0.0.1:{self.port}"
        mirror = open_mirror(workspace.root).workspace if isinstance(service, Triggered) else lambda: workspace
        self.site = make_site(address, workspace.state, mirror, workspace.open_reader, workspace.clock)
        self.server = make_server(address, self.site, **limits)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._sock]}, name="web")
        self._thread.start()
        self.secrets = {role: self.admit(role, {"": role}) for role in ROLES}

    def close(self) -> None:
        self.server.should_exit = True
        self._thread.join(60)
        self._sock.close()

    def admit(self, name: str, roles: dict[str, str], **more: Any) -> str:
        """A user of this name with these roles; the secret of a token for them."""
        now = self.site.clock.now()
        self.site.ask(asks.ChangeAccess(users=(new_user(name, roles, now),), actor="root"), asks.Done)
        secret, token = new_token(more.pop("kind", "token"), name, now, **more)
        self.site.ask(asks.ChangeAccess(tokens=(token,), actor="root"), asks.Done)
        return secret

    def send(self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Answer:
        """The answer to a request whose headers are these, and Host."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            client.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            told = {"Host": self.host, **(headers or {})}
            if body is not None or method == "POST":
                told = {"Content-Type": "application/json", "Content-Length": str(len(body or b"")), **told}
            for name, value in told.items():
                if value is not None:
                    client.putheader(name, value)
            client.endheaders(body)
            return Answer(client.getresponse())
        finally:
            client.close()

    def ask(
        self, method: str, path: str, role: str = "admin", *, secret: str = "", body: object = None, **params: Any
    ) -> Answer:  # fmt: skip
        """The answer to somebody with a role, or with a secret of their own."""
        token = secret or self.secrets.get(role, "")
        headers = {"X-Legato": "1", **({"Authorization": f"Bearer {token}"} if token else {})}
        target = (path if path in BESIDE else API + path) + (f"?{urlencode(params)}" if params else "")
        return self.send(method, target, headers, None if body is None else json.dumps(body).encode())

    def get(self, path: str, role: str = "viewer", **params: Any) -> Any:
        """What a look gives."""
        answer = self.ask("GET", path, role, **params)
        assert answer.status == 200, answer.body
        return answer.json()

    def post(self, path: str, body: object, role: str = "admin") -> Any:
        """What a change gives."""
        answer = self.ask("POST", path, role, body=body)
        assert answer.status < 300, answer.body
        return answer.json()


def schema() -> dict[str, Any]:
    """The schema of the API."""
    return schema_of(build_routes(None))


@contextmanager
def open_door(folder: Path, pipeline: str = PIPELINE, kind: type[Service] = Service, **limits: float) -> Iterator[Door]:
    """The API of the shop's project in a folder, or of another."""
    with serving(folder, pipeline, kind) as service:
        door = Door(service, **limits)
        try:
            yield door
        finally:
            door.close()
