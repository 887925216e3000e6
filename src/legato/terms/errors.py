"""Errors as an interface: what happened, where, why, and the exact next command, under a stable code."""

from __future__ import annotations

from msgspec import Struct

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_NOT_FOUND = 0, 1, 2, 3
EXIT_INVALID, EXIT_UNREACHABLE, EXIT_PERMISSION, EXIT_INTERRUPTED = 4, 5, 6, 130


class Place(Struct, frozen=True):
    """A line of a file that a person can open."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Fault(Struct, frozen=True):
    """One thing that is wrong in a project: code, what, where, and how to mend it."""

    code: str
    what: str
    place: Place | None = None
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.what} [{self.code}]"


class LegatoError(Exception):
    """Any error that Legato raises on purpose. `code` is a key of `CODES`; the text is for people."""

    exit_code = EXIT_FAILED

    def __init__(
        self,
        code: str,
        what: str,
        *,
        where: Place | str | None = None,
        why: str = "",
        next: str = "",
        exit_code: int | None = None,
    ) -> None:
        super().__init__(what)
        self.code, self.what, self.where, self.why, self.next = code, what, where, why, next
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        parts = [f"{self.what} [{self.code}]"]
        if self.where:
            parts.append(f"  where: {self.where}")
        if self.why:
            parts.append(f"  why:   {self.why}")
        if self.next:
            parts.append(f"  next:  {self.next}")
        return "\n".join(parts)

    @property
    def sentence(self) -> str:
        """What is wrong, and the first line of why: for where there is room for one line."""
        why = self.why.partition("\n")[0]
        return f"{self.what}{f': {why}' if why else ''} [{self.code}]"


class NotFound(LegatoError):
    """Something named does not exist."""

    exit_code = EXIT_NOT_FOUND


class UsageError(LegatoError):
    """A request that makes no sense as written."""

    exit_code = EXIT_USAGE


class InvalidProject(LegatoError):
    """A project with faults; all of them are in `faults`."""

    exit_code = EXIT_INVALID

    def __init__(self, faults: list[Fault]) -> None:
        count = f"{len(faults)} fault" + ("" if len(faults) == 1 else "s")
        super().__init__("project", f"the project has {count}", next="legato check")
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  - {fault}" for fault in self.faults)])


class Unreachable(LegatoError):
    """A store, storage or process that Legato needs does not answer."""

    exit_code = EXIT_UNREACHABLE


class Forbidden(LegatoError):
    """The system or a policy does not allow this."""

    exit_code = EXIT_PERMISSION
