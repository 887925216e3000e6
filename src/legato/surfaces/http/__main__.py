"""The web process: `python -m legato.surfaces.http FOLDER ADDRESS`, where ADDRESS is an `Address` in JSON."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from legato.service.supervisor import end_with_supervisor
from legato.surfaces.http.serving import Address, serve_project
from legato.surfaces.lines import lead_logging, make_teller
from legato.terms.errors import LegatoError


def main(folder: str, address: str) -> int:
    """Serve until this process, or its supervisor, ends."""
    end_with_supervisor()
    lead_logging("web")
    try:
        serve_project(Path(folder), msgspec.json.decode(address, type=Address))
    except LegatoError as error:
        make_teller("web", sys.stderr, warns=True)(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
