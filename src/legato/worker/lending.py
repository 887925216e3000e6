"""Secrets of the environment: a worker takes them out of it, and lends them to the functions that declare them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from legato.declare.body import Body
from legato.declare.resource import SEALED, Secret

_NOTHING = nullcontext()


def seal(secrets: Iterable[Secret]) -> None:
    """Take secrets out of this process's environment: from here on `reveal()` knows them, and nothing else does."""
    for secret in secrets:
        if secret.is_variable and (value := os.environ.pop(secret.reference, None)) is not None:
            SEALED[secret.reference] = value


def lend(body: Body) -> AbstractContextManager[None]:
    """The environment with the secrets that the function declares as defaults, for libraries and programs that look there."""
    return _lent(_declared(body)) if SEALED else _NOTHING


@contextmanager
def _lent(names: tuple[str, ...]) -> Iterator[None]:
    for name in names:
        os.environ[name] = SEALED[name]
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)


def _declared(body: Body) -> tuple[str, ...]:
    defaults = (*(getattr(body.fn, "__defaults__", None) or ()), *(getattr(body.fn, "__kwdefaults__", None) or {}).values())
    return tuple(each.reference for each in defaults if isinstance(each, Secret) and each.reference in SEALED)
