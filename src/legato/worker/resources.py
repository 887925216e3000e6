"""Resources: made once per worker and type when first asked for, closed when the worker ends."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

from legato.declare.body import Body, Code
from legato.terms.errors import LegatoError
from legato.worker.lending import lend


class Resources:
    """The resources of one worker. A resource may take others as parameters.

    `call` runs a function or an async one to its end; `made` is told after each resource that was made.
    """

    def __init__(self, code: Code, call: Callable[[Any], Any], made: Callable[[], None]) -> None:
        self._code = code
        self._finish = call
        self._made = made
        self._ready: dict[Any, Any] = {}
        self._endings: list[Any] = []

    def get(self, kind: Any) -> Any:
        """The instance of this type."""
        try:
            return self._ready[kind]
        except KeyError:
            pass
        body = self._code.resources.get(kind)
        if body is None:
            name = getattr(kind, "__qualname__", str(kind))
            raise LegatoError("resource", f"nothing makes a {name}", next=f"add a resource that returns {name}")
        value = self._ready[kind] = self._make(body)
        self._made()
        return value

    def _make(self, body: Body) -> Any:
        kwargs = {binding.param: self.get(binding.kind) for binding in body.bindings if binding.source == "resource"}
        with lend(body):
            made = body.fn(**kwargs)
            if inspect.isgenerator(made):
                self._endings.append(made)
                return next(made)
            if inspect.isasyncgen(made):
                self._endings.append(made)
                return self._finish(anext(made))
            return self._finish(made) if inspect.isawaitable(made) else made

    def close(self) -> None:
        """Let every resource clean up, the newest first; a failing one does not keep the others from it."""
        while self._endings:
            ending = self._endings.pop()
            with contextlib.suppress(StopIteration, StopAsyncIteration):
                try:
                    if inspect.isasyncgen(ending):
                        self._finish(anext(ending))
                    else:
                        next(ending)
                except Exception as error:
                    print(f"a resource failed to close: {error!r}")
        self._ready.clear()
