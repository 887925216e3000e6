"""What a service says: one line for each thing, whatever is in it, in the form that was asked for."""

from __future__ import annotations

import io
import json
import logging
import os
import re

import pytest

from legato.surfaces.lines import FORM, hand_over, lead_logging, make_teller

EVIL = 'a\nb "c" \x1b[31m\r{"at": 1}'


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv(FORM, "text")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_lines_for_people_begin_with_the_time():
    out = io.StringIO()
    make_teller("conductor", out)("run r1 succeeded")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  run r1 succeeded\n", out.getvalue())


def test_lines_for_collectors_are_one_record_each():
    hand_over("json")
    out = io.StringIO()
    tell = make_teller("conductor", out)
    tell("up")
    tell(EVIL)
    first, second = map(json.loads, out.getvalue().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first.pop("at"))
    assert first == {"level": "info", "part": "conductor", "pid": os.getpid(), "message": "up"}
    assert second["message"] == EVIL


def test_what_libraries_log_comes_out_in_the_same_form(capsys):
    hand_over("json")
    lead_logging("web")
    try:
        raise ValueError(EVIL)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("it %s", "broke")
    logging.getLogger("chatty").info("no news")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["level"], told["part"], told["logger"], told["message"]) == ("error", "web", "uvicorn.error", "it broke")
    assert told["trace"].startswith("Traceback")
