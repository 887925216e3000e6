"""Ports for servers that are started by their number: nobody else on this machine is given one of them meanwhile."""

from __future__ import annotations

import os
import socket
from itertools import count

_FIRST, _ROW, _ROWS = 10_000, 70, 300
"""All below what the system gives to whoever asks for any port (from 32768 on); a row of its own for each process that tests."""

_numbers = count()


def free_port() -> int:
    """A port of this machine that nobody listens on; the next call gives another."""
    first = _FIRST + os.getpid() % _ROWS * _ROW
    for _ in range(_ROW):
        port = first + next(_numbers) % _ROW
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
