"""Starting the web process: where it listens, and that it does not where it would be in the open without protection."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from legato.ports.clock import Clock
from legato.ports.store import Store
from legato.service.workspace import Workspace
from legato.terms.errors import LegatoError, Unreachable, UsageError

if TYPE_CHECKING:
    from uvicorn import Server

    from legato.surfaces.http.site import Site

PORT = 4747
_PAUSE_S = 0.05
_PORT_BEHIND = re.compile(r":[0-9]+\Z")


class Address(Struct, frozen=True, kw_only=True):
    """Where the API is served.

    `certificate` and `key` are files, for TLS. `proxy` is the name that browsers call, where it is not `host`: that of a proxy
    with TLS which stands before it (then other addresses than this machine's own are listened on without TLS here), or the one
    in the certificate; with a port behind it where browsers name one.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    certificate: str = ""
    key: str = ""
    proxy: str = ""

    @property
    def scheme(self) -> str:
        """What browsers use."""
        return "https" if self.certificate or self.proxy else "http"

    @property
    def hosts(self) -> frozenset[str]:
        """The values of the header `Host` that are answered. Browsers leave out the port that their scheme has anyway."""
        names = {"localhost", "127.0.0.1", "[::1]"} if is_loopback(self.host) else set[str]()
        called = {self.proxy.lower()} if self.proxy else {f"{name}:{self.port}" for name in {*names, self._own}}
        short = {self._without_port(each) for each in called}
        return frozenset(short | {f"{each}:{self._default}" for each in short if not _PORT_BEHIND.search(each)})

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"{self.scheme}://{self._without_port(self.proxy.lower() or f'{self._own}:{self.port}')}"

    @property
    def _own(self) -> str:
        return (f"[{self.host}]" if ":" in self.host else self.host).lower()

    @property
    def _default(self) -> int:
        return 443 if self.scheme == "https" else 80

    def _without_port(self, name: str) -> str:
        return name.removesuffix(f":{self._default}")


def require_installed() -> None:
    """Refuse (`server-missing`) where the libraries of the web process are not installed."""
    missing = [library for library in ("litestar", "uvicorn") if find_spec(library) is None]
    if missing:
        raise UsageError(
            "server-missing", f"the HTTP API is not installed: there is no {' and no '.join(missing)}",
            next="pip install 'legato[server]', or leave the API out: legato up --no-api",
        )  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_everywhere(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def require_protected(address: Address) -> None:
    """Refuse an address that others reach without TLS or a declared proxy (`address-open`), or by no name (`address-name`)."""
    if bool(address.certificate) != bool(address.key):
        raise UsageError("address-tls", "TLS takes a certificate and its key", next="name both files")
    if address.certificate and not address.proxy and _is_everywhere(address.host):
        raise UsageError(
            "address-name", f"{address.host} is every address of this machine, and no browser calls it so",
            why="who comes by another name than the service knows is refused",
            next=f"name it as browsers do: --proxy NAME, or NAME:{address.port}",
        )  # fmt: skip
    if is_loopback(address.host) or address.certificate or address.proxy:
        return
    raise UsageError(
        "address-open", f"{address.host} can be reached by others, and nothing protects what they send",
        why="sessions and tokens would travel in the clear", next="name a certificate and key, or the proxy that has them",
    )  # fmt: skip


def require_loadable(address: Address) -> None:
    """Refuse (`address-tls`) a certificate or a key that no connection could be made with."""
    if not address.certificate:
        return
    import ssl

    for option, file in (("--certificate", address.certificate), ("--key", address.key)):
        try:
            open(file, "rb").close()
        except OSError as error:
            raise UsageError(
                "address-tls", f"what {option} names cannot be read", where=file, why=error.strerror or str(error),
                next="name a file in PEM that this user may read",
            ) from error  # fmt: skip
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(address.certificate, address.key, lambda: "")
    except ssl.SSLError as error:
        raise UsageError(
            "address-tls", "what --certificate and --key name is no certificate with its key", why=str(error),
            where=f"{address.certificate}, {address.key}", next="name both in PEM, the key without a password",
        ) from error  # fmt: skip


def listen(address: Address, patience_s: float = 0.0) -> socket.socket:
    """The socket of an address, bound before anything is forked or said.

    `UsageError` (`address-host`) if its host is not this machine's, `Unreachable` (`address-taken`) if somebody has it and keeps
    it for `patience_s`: a service that was killed leaves it a moment later.
    """
    require_protected(address)
    until = time.monotonic() + patience_s
    while True:
        sock = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address.host, address.port))
            sock.listen(128)  # who asks before the server runs waits, and is not sent away
        except (OSError, UnicodeError) as error:
            sock.close()
            if getattr(error, "errno", 0) != errno.EADDRINUSE or time.monotonic() >= until:
                raise _why_not(address, error) from error
            time.sleep(_PAUSE_S)
        else:
            return sock


def _why_not(address: Address, error: OSError | UnicodeError) -> LegatoError:
    why = getattr(error, "strerror", None) or str(error)
    if isinstance(error, socket.gaierror | UnicodeError) or error.errno == errno.EADDRNOTAVAIL:
        return UsageError(
            "address-host", f"{address.host} is no address of this machine", why=why, next="choose another one with --host"
        )
    return Unreachable(
        "address-taken", f"nothing can listen on {address.host}:{address.port}", why=why, next="choose another port with --port"
    )


def make_server(address: Address, site: Site, **limits: float) -> Server:
    """The HTTP server of a site, with limits on what anybody may cost it; `limits` are other ones for its connections."""
    import uvicorn

    from legato.surfaces.http.app import build_app
    from legato.surfaces.http.connection import PLACES, Connection

    config = uvicorn.Config(
        build_app(site), log_level="warning", log_config=None, access_log=False, server_header=False, proxy_headers=False,
        lifespan="off", ws="none", http=partial(Connection, **limits),  # type: ignore[arg-type]
        loop="asyncio", limit_concurrency=2 * PLACES, backlog=128, timeout_keep_alive=15,
        timeout_graceful_shutdown=3, h11_max_incomplete_event_size=16_384,
        ssl_certfile=address.certificate or None, ssl_keyfile=address.key or None,
    )  # fmt: skip
    return uvicorn.Server(config)


def make_site(
    address: Address, state: Path, workspace: Callable[[], Workspace], open_reader: Callable[[], Store], clock: Clock
) -> Site:  # fmt: skip
    """The site that is served at an address."""
    from legato.surfaces.http.site import Site

    return Site(
        state=state, workspace=workspace, open_reader=open_reader, clock=clock, hosts=address.hosts, scheme=address.scheme
    )


def serve(address: Address, sock: socket.socket, site: Site) -> None:
    """Serve a site on a socket of `listen` until this process is told to end (SIGTERM, SIGINT)."""
    make_server(address, site).run(sockets=[sock])


def serve_project(folder: Path, address: Address, sock: socket.socket) -> None:
    """Serve the project in a folder, as its running conductor tells it, until this process is told to end."""
    from legato.wiring.state import open_mirror

    mirror = open_mirror(folder)
    serve(address, sock, make_site(address, mirror.state, mirror.workspace, mirror.open_reader, mirror.clock))
