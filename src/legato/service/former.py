"""Versions of before: whose code is kept, what a run would have of it, and what to say where it cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from legato.declare.node import Project
from legato.ports.store import Store
from legato.terms.errors import Fault, InvalidProject, LegatoError, NotFound

if TYPE_CHECKING:
    from legato.declare.manuscript import Manuscript

Code = Literal["", "then", "now"]
"""With which code a run goes on, or is repeated: that with which it worked last, or that of now; empty where nobody says."""

_NOW = "the same with --code now"


def has_code(store: Store, fingerprint: str) -> bool:
    """Whether the code of a version is kept."""
    return store.manuscript(fingerprint) is not None


def require_code(store: Store, fingerprint: str) -> Manuscript:
    """The code of a version; `NotFound` (`code-not-kept`) where it is not kept."""
    found = store.manuscript(fingerprint)
    if found is None:
        raise not_kept(fingerprint)
    return found


def not_kept(fingerprint: str) -> NotFound:
    """That the code of a version is gone, or never was kept."""
    return NotFound(
        "code-not-kept", f"the code of version {fingerprint[:12]} is not kept",
        why="it is let go with the last run of that time ([keep] runs), and an earlier Legato kept none", next=_NOW,
    )  # fmt: skip


@contextmanager
def former_project(fingerprint: str) -> Iterator[Callable[[Project], None]]:
    """Loads code that is kept: what fails is told of that version, and what was loaded has to be that version."""

    def require(project: Project) -> None:
        if project.fingerprint != fingerprint:
            raise not_the_same(fingerprint)

    try:
        yield require
    except InvalidProject as error:
        raise unloadable(fingerprint, error.faults) from error


def unloadable(fingerprint: str, faults: Iterable[Fault]) -> LegatoError:
    """That the code of a version can be loaded no more, and its first fault."""
    first, *more = faults
    others = f", and {len(more)} more fault{'s' * (len(more) > 1)}" if more else ""
    return LegatoError(
        "code-unloadable", f"the code of version {fingerprint[:12]} is kept, but can be loaded no more", where=first.place,
        why=f"{first.what} [{first.code}]{others}", next=_NOW,
    )  # fmt: skip


def not_the_same(fingerprint: str) -> LegatoError:
    """That what the kept code of a version declares now is something else."""
    return LegatoError(
        "code-unloadable", f"the code of version {fingerprint[:12]} is kept, but declares something else by now",
        why="something beside its Python files has changed: an installed library, Python itself, a file that it reads when it is"
        " imported, the environment", next=_NOW,
    )  # fmt: skip
