"""Entry of nurseries, code hosts and workers that start as fresh interpreters: `python -m legato.worker ROLE JSON`."""

from __future__ import annotations

import json
import socket
import sys

from legato.worker.nursery import run_fresh, run_fresh_worker
from legato.worker.preload import Kit, borrow, load_kit
from legato.worker.threads import fork_hazard


def main(role: str, text: str) -> None:
    """Be a nursery, a code host or a worker; what it needs to know stands in the JSON."""
    argument = json.loads(text)
    sys.path[:] = argument["path"]
    manuscript = borrow(argument.get("manuscript", -1))

    def load() -> Kit:
        return load_kit(argument["loader"], tuple(argument["arguments"]), manuscript)

    if role == "nursery":
        run_fresh(socket.socket(fileno=argument["control"]), load, fork_hazard, argument)
    if role == "host":
        from legato.worker.host import run_host

        run_host(socket.socket(fileno=argument["control"]), load, fork_hazard, argument)
    run_fresh_worker(load, argument)


if __name__ == "__main__":
    main(*sys.argv[1:])
