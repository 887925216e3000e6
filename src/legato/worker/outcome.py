"""What a call of a flow gave, from its record: the value as its bytes give it, or an exception of the class that was raised."""

from __future__ import annotations

import builtins
import contextlib
import sys
import typing
from importlib import import_module
from typing import Any

from legato.declare.calling import TaskFailed
from legato.terms.attempt import Answer, Argument
from legato.terms.codec import NIL
from legato.terms.fact import Error
from legato.worker.failure import Refused
from legato.worker.inputs import Inputs

_NOTES = {"skipped": "it was skipped", "cancelled": "it was cancelled", "undone": "it was undone", "failed": "it failed"}


class Outcomes:
    """Reads values and errors of finished calls, the same way on every pass through a flow's body."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._hints: dict[Any, Any] = {}

    def value(self, answer: Answer, subject: str, fn: Any) -> Any:
        """The value, as what the function is annotated to return; in its natural form where it is something else.

        Of a call that did not succeed, its error is raised.
        """
        if answer.outcome != "succeeded":
            raise exception_of(answer, subject)
        if answer.kept is None and (answer.value is None or answer.value == NIL):
            return None
        argument = Argument(subject, (answer.kept,) if answer.kept else (), answer.value)
        hint = self._hint(fn)
        if hint is not Any:
            with contextlib.suppress(Refused):
                return self._inputs.value(argument, hint)
        return self._inputs.value(argument, Any)

    def _hint(self, fn: Any) -> Any:
        if fn not in self._hints:
            try:
                self._hints[fn] = typing.get_type_hints(fn).get("return", Any)
            except Exception:  # names that exist for type checkers alone
                self._hints[fn] = Any
        return self._hints[fn]


def exception_of(answer: Answer, subject: str) -> Exception:
    """What the body of a flow gets to see of a call that did not succeed: `error` is the record, where it can be set."""
    error = answer.error or Error("flow", _NOTES[answer.outcome])
    made = _of_class(error) if answer.outcome == "failed" else None
    made = made or TaskFailed(f"{subject}: {error.message}")
    with contextlib.suppress(Exception):
        made.error = error  # type: ignore[attr-defined]
    return made


def _of_class(error: Error) -> Exception | None:
    """An exception of the class that was raised, without running its `__init__`; None where there is no such class here."""
    cls = find_class(error.types[0]) if error.types else None
    if not isinstance(cls, type) or not issubclass(cls, Exception):
        return None
    try:
        made = cls.__new__(cls, error.message)
        str(made)  # one that was never initialised may not be able to say what it is
    except Exception:
        return None
    return made if isinstance(made, Exception) else None


def find_class(name: str) -> Any:
    """What stands under a qualified name such as `http.client.HTTPException`; None if nothing does."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module = _module(".".join(parts[:cut]))
        found: Any = module
        for part in parts[cut:]:
            found = getattr(found, part, None)
        if found is not None:
            return found
    return None


def _module(name: str) -> Any:
    if name == "builtins":
        return builtins
    try:
        return sys.modules.get(name) or import_module(name)
    except Exception:  # a module may raise anything when it is imported
        return None
