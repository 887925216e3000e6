"""Lists in pages, newest first, of what the actor may see alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

_A_PAGE = 500
_MOST_LOOKED_AT = 5_000


class Line(Protocol):
    """What a list of runs has: a run, and the domains that it touches."""

    @property
    def id(self) -> str:
        """The run."""
        ...

    @property
    def domains(self) -> tuple[str, ...]:
        """What it touches."""
        ...


L = TypeVar("L", bound=Line)


def fill_page(
    read: Callable[[int, str | None], list[L]], may_read: Callable[..., bool], *, before: str, limit: int
) -> tuple[list[L], str]:
    """So many lines at most that the actor may see, and the run to ask for the next ones with; empty if there are none.

    `read` gives so many lines from behind a run on, and fewer only at the end. A request looks through a part of a long history
    at most: a page may be short, or empty, and yet have a next one.
    """
    found: list[L] = []
    size, looked_at = limit + 1, 0
    while looked_at < _MOST_LOOKED_AT:
        page = read(size, before or None)
        found += [line for line in page if may_read(*line.domains)]
        if len(found) > limit:
            return found[:limit], found[limit - 1].id
        if len(page) < size:
            return found, ""
        before, looked_at, size = page[-1].id, looked_at + size, _A_PAGE
    return found, before
