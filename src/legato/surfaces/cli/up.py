"""`legato up`: the service of a project, in the foreground."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click

from legato.service.running import session
from legato.service.supervisor import Part, Supervisor, end_with_supervisor
from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen
from legato.terms.errors import EXIT_OK, Unreachable

PORT = 4747


@command
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=PORT, show_default=True, help="The port of the HTTP API.")
@click.option("--no-api", is_flag=True, help="Run triggers and take requests of this machine, without the HTTP API.")
@click.option("--part", hidden=True, type=click.Choice(["conductor"]), help="Be one process of the service.")
def up(call: Call, host: str, port: int, no_api: bool, part: str | None) -> int:
    """Run what runs by itself, and answer what is asked, until Ctrl-C.

    Triggers fire, waits wake, interrupted runs go on. What dies is started again. Ctrl-C lets what runs end; twice stops at once.
    """
    if part == "conductor":
        return _conduct(call)
    return _supervise(call, host, port, api=not no_api)


def _supervise(call: Call, host: str, port: int, *, api: bool) -> int:
    from legato.wiring import open_keyring

    workspace = call.workspace()
    if (holder := workspace.find_holder()) is not None:
        raise Unreachable(
            "store-locked", f"process {holder.pid} works on this project already (`{holder.command}`, since {holder.since})",
            next=f"kill -INT {holder.pid}",
        )  # fmt: skip
    root, tell = str(workspace.root), _teller(call.screen)
    parts = [Part("conductor", (sys.executable, "-m", "legato", "-C", root, "up", "--part", "conductor"))]
    if api:
        parts.append(_web(call, Path(root), host, port))
        with open_keyring(workspace.root).reading() as store:
            if store is None or not store.users():
                tell("nobody has logged in yet: legato login-link makes a link, once the service is up")
    tell(f"{workspace.project.name} is up; Ctrl-C ends it")
    Supervisor(parts, tell).run()
    tell("stopped")
    return EXIT_OK


def _web(call: Call, root: Path, host: str, port: int) -> Part:
    import msgspec

    from legato.surfaces.http.serving import Address, require_protected

    address = Address(host=host, port=port)
    require_protected(address)
    _teller(call.screen)(f"the API listens on {address.url}")
    return Part("web", (sys.executable, "-m", "legato.surfaces.http", str(root), msgspec.json.encode(address).decode()), 5.0)


def _conduct(call: Call) -> int:
    from legato.service.serving import Service

    end_with_supervisor()
    asked: list[int] = []
    with session(call.workspace(), "legato up") as opened:
        service = Service(opened, _teller(call.screen))

        def take(number: int, frame: object) -> None:
            asked.append(number)
            service.conductor.wake()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, take)
        service.run(lambda: bool(asked))
    return EXIT_OK


def _teller(screen: Screen) -> Callable[[str], None]:
    def tell(words: str) -> None:
        screen.say(f"{datetime.now():%H:%M:%S}  {words}")
        screen.stream.flush()

    return tell
