"""The web process: `python -m legato.surfaces.http FOLDER ADDRESS SOCKET`.

ADDRESS is an `Address` in JSON, SOCKET the descriptor of its socket. Whoever starts this process keeps it too, so nobody else can
take the address while this process is started again.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import msgspec

from legato.service.supervisor import end_with_supervisor
from legato.surfaces.http.serving import Address, serve_project
from legato.surfaces.lines import lead_logging, make_teller
from legato.terms.errors import LegatoError


def main(folder: str, address: str, descriptor: str) -> int:
    """Serve until this process, or its supervisor, ends."""
    end_with_supervisor()
    lead_logging("web")
    try:
        with socket.socket(fileno=int(descriptor)) as sock:
            serve_project(Path(folder), msgspec.json.decode(address, type=Address), sock)
    except LegatoError as error:
        make_teller("web", sys.stderr, warns=True)(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
