"""What the processes of a service say, a line for each thing that matters: for people, or as JSON for a log collector."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

import msgspec

FORM = "LEGATO_LOG_FORMAT"
"""The variable in which a service's processes find the form of its lines: `text` or `json`."""
Tell = Callable[[str], None]


def hand_over(form: str) -> None:
    """Have the processes that are started from here on speak in this form too."""
    os.environ[FORM] = form


def make_teller(part: str, stream: TextIO | None = None, *, warns: bool = False) -> Tell:
    """What says a line in the name of a part of the service, in the form that was handed over."""
    as_json = os.environ.get(FORM) == "json"

    def tell(words: str) -> None:
        out = sys.stdout if stream is None else stream
        if as_json:
            out.write(_record(part, "warning" if warns else "info", words) + "\n")
        else:
            out.write(f"{datetime.now():%H:%M:%S}  {words}\n")
        out.flush()

    return tell


def lead_logging(part: str) -> None:
    """Have what libraries log in this process come out in the same form, on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines(part) if os.environ.get(FORM) == "json" else logging.Formatter(_TEXT, "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


_TEXT = "%(asctime)s  %(levelname)s %(name)s: %(message)s"


class _JsonLines(logging.Formatter):
    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        return _record(self._part, record.levelname.lower(), record.getMessage(), logger=record.name, trace=trace)


def _record(part: str, level: str, message: str, **more: str) -> str:
    """One line, whatever is in it."""
    told = {
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
        "level": level,
        "part": part,
        "pid": os.getpid(),
        "message": message,
    }
    told |= {name: value for name, value in more.items() if value}
    return msgspec.json.encode(told).decode()
