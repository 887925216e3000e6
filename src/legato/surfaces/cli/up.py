"""`legato up` and `legato dev`: the service of a project, in the foreground."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from legato.service.supervisor import Part, Supervisor, end_with_supervisor
from legato.surfaces.cli.call import Call, command
from legato.surfaces.lines import hand_over, lead_logging, make_teller
from legato.terms.errors import EXIT_FAILED, EXIT_OK, LegatoError, Unreachable

if TYPE_CHECKING:
    from socket import socket

    from legato.surfaces.http.serving import Address
    from legato.worker.config import Config

PORT = 4747
LEAVING_S = 3.0
"""So long may a service that was killed take to leave its port."""
SETTLING_S = 2.0
"""How long files stay as they are before `legato up` takes them for a new version: a deployment copies them one by one."""

_shared: list[Callable[..., Any]] = [
    click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on."),
    click.option("--port", default=PORT, type=click.IntRange(1, 65_535), show_default=True, help="The port of the HTTP API."),
    click.option(
        "--proxy",
        default="",
        envvar="LEGATO_PROXY",
        metavar="NAME[:PORT]",
        help="The name that browsers call: of a proxy with TLS before it, or in the certificate.",
    ),
    click.option("--certificate", default="", metavar="FILE", help="A certificate, for TLS; with --key."),
    click.option("--key", default="", metavar="FILE", help="Its key."),
    click.option("--no-api", is_flag=True, help="Run triggers and take requests of this machine, without the HTTP API."),
    click.option("--workers", type=click.IntRange(1, 1024), metavar="N", help="How many worker processes."),
    click.option("--log-format", type=click.Choice(["text", "json"]), default=None, help="How the service says what it does."),
    click.option("--part", hidden=True, type=click.Choice(["conductor", "listener", "tracer"]), help="Be one of its processes."),
    click.option("--url", hidden=True, default="", help="Where that one's API is."),
]


def _options(function: Any) -> Any:
    for option in reversed(_shared):
        function = option(function)
    return function


@command
@_options
def up(call: Call, **options: Any) -> int:
    """Run what runs by itself, and answer what is asked, until Ctrl-C.

    Triggers fire, waits wake, interrupted runs go on. What dies is started again. New code takes over when its files have stayed
    as they are for two seconds; broken code leaves the version before in force. Ctrl-C lets what runs end; twice stops at once.
    """
    return _serve(call, "up", Options(**options))


@command
@_options
def dev(call: Call, **options: Any) -> int:
    """Do what `legato up` does, and take over each saved file at once."""
    return _serve(call, "dev", Options(**options))


class Options(NamedTuple):
    """What was asked for. `part` is the one process to be, if it is not all of them; `url` is where the API of all is."""

    host: str
    port: int
    proxy: str
    certificate: str
    key: str
    no_api: bool
    workers: int | None
    log_format: str | None
    part: str | None
    url: str


def _serve(call: Call, name: str, options: Options) -> int:
    folder = call.folder or Path.cwd()
    if options.log_format:
        hand_over(options.log_format)
    if options.part is None:
        return _supervise(call, name, folder, options)
    parts = {"conductor": _conduct, "listener": _listen, "tracer": _trace}
    lead_logging(options.part)
    try:
        return parts[options.part](call, name, folder, options)
    except LegatoError as error:
        make_teller(options.part, warns=True)(str(error))
        return error.exit_code
    except Exception:
        logging.getLogger("legato").exception("this is a fault of Legato")
        return EXIT_FAILED


def _supervise(call: Call, name: str, folder: Path, wanted: Options) -> int:
    from legato.wiring.adapters import find_holder, require_config
    from legato.wiring.service import hold_service

    address = None if wanted.no_api else _address(wanted)
    config = require_config(folder)
    if (holder := find_holder(config)) is not None:
        raise Unreachable(
            "store-locked", f"process {holder.pid} works on this project already (`{holder.command}`, since {holder.since})",
            next=f"kill -INT {holder.pid}",
        )  # fmt: skip
    tell = make_teller("service")
    with hold_service(config, f"legato {name}", address.url if address else ""), _listening(address) as sock:
        parts = _parts(config, name, wanted, address, sock)
        tell(f"{config.name} is up" + (f", its API at {address.url}" if address else "") + "; Ctrl-C ends it")
        Supervisor(parts, tell).run()
        tell("stopped")
    return EXIT_OK


def _listening(address: Address | None) -> AbstractContextManager[socket | None]:
    """The socket of the service for all its life; None where it has no API."""
    if address is None:
        return nullcontext()
    from legato.surfaces.http.serving import listen

    return listen(address, LEAVING_S)


def _parts(config: Config, name: str, wanted: Options, address: Address | None, sock: socket | None) -> list[Part]:
    """The processes of the service."""
    import msgspec

    from legato.collectors.otlp import collector_of

    root = str(config.root)
    options = [*(("--workers", str(wanted.workers)) if wanted.workers else ()), *(("--url", address.url) if address else ())]
    parts = [Part("conductor", (sys.executable, "-m", "legato", "-C", root, name, "--part", "conductor", *options))]
    if address is not None and sock is not None:
        said = msgspec.json.encode(address).decode()
        web = (sys.executable, "-m", "legato.surfaces.http", root, said, str(sock.fileno()))
        parts.append(Part("web", web, 5.0, (sock.fileno(),)))
    if config.broker is not None or config.buckets:
        parts.append(Part("listener", (sys.executable, "-m", "legato", "-C", root, name, "--part", "listener"), 10.0))
    if collector_of(os.environ, config.name) is not None:
        parts.append(Part("tracer", (sys.executable, "-m", "legato", "-C", root, name, "--part", "tracer"), 5.0))
    return parts


def _address(wanted: Options) -> Address:
    from legato.surfaces.http.serving import Address, require_installed, require_loadable, require_protected

    require_installed()
    address = Address(
        host=wanted.host, port=wanted.port, proxy=wanted.proxy, certificate=wanted.certificate, key=wanted.key
    )  # fmt: skip
    require_protected(address)
    require_loadable(address)
    return address


def _conduct(call: Call, name: str, folder: Path, wanted: Options) -> int:
    from legato.service.access import first_link
    from legato.wiring.service import open_service

    end_with_supervisor()
    tell, asked = make_teller("conductor"), list[int]()
    settling_s = SETTLING_S if name == "up" else 0.0
    with open_service(folder, f"legato {name}", tell, workers=wanted.workers, settling_s=settling_s) as service:

        def take(number: int, frame: object) -> None:
            asked.append(number)
            service.wake()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, take)
        if wanted.url and (secret := first_link(service.store, service.clock.now())):
            tell(f"nobody has logged in yet; this does, once: {wanted.url}/login#{secret}")
        service.run(lambda: bool(asked))
    return EXIT_OK


def _listen(call: Call, name: str, folder: Path, wanted: Options) -> int:
    from legato.wiring.outside import listen

    end_with_supervisor()
    listen(folder, make_teller("listener"), _stop())
    return EXIT_OK


def _trace(call: Call, name: str, folder: Path, wanted: Options) -> int:
    from legato.wiring.outside import trace

    end_with_supervisor()
    trace(folder, make_teller("tracer"), _stop())
    return EXIT_OK


def _stop() -> Event:
    """What is set when this process is told to end."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
