"""From an exception to an `Error` record: what people need to see, made without ever failing itself."""

from __future__ import annotations

import os
import sysconfig
import time
import traceback
from collections.abc import Callable
from math import isfinite
from pathlib import Path

from legato.declare.body import Body
from legato.declare.node import qualified
from legato.terms.errors import LegatoError
from legato.terms.fact import Error

_HERE = str(Path(__file__).resolve().parents[1]) + os.sep
_LIBRARY = tuple({sysconfig.get_path("stdlib") + os.sep, sysconfig.get_path("platstdlib") + os.sep})
_LIMIT = 20_000


class Refused(Exception):
    """An input or value that Legato does not take: not an exception of the user's code. `kind` and `types` as in `Error`."""

    def __init__(self, kind: str, message: str, types: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.kind, self.message, self.types = kind, message, types


def describe_failure(
    error: BaseException, body: Body | None, root: Path, kind: str = "raised", hide: Callable[[str], str] = str
) -> Error:
    """The record of an exception that came out of an attempt; `body` is the function that was to run. All text is hidden that
    `hide` hides, before any is cut."""
    try:
        if isinstance(error, Refused):
            return Error(error.kind, hide(error.message), error.types, _place(body, root))
        return _describe(error, body, root, kind, hide)
    except BaseException:  # an exception made to resist, or no memory left to tell the story
        return Error(kind=kind, message="(no description)", types=_types(error))


def _describe(error: BaseException, body: Body | None, root: Path, kind: str, hide: Callable[[str], str]) -> Error:
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if _is_users(frame.filename, body, root)]
    where = f"{_shorten(users[-1].filename, root)}:{users[-1].lineno}" if users else _place(body, root)
    return Error(
        kind=kind,
        message=_cut(hide(_message(error))),
        types=_types(error),
        where=where,
        trace=_cut(hide(_trace(error, body, root))),
        retry_after_s=_retry_after(error),
    )


def _types(error: BaseException) -> tuple[str, ...]:
    return tuple(qualified(cls) for cls in type(error).__mro__ if cls is not object)


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the code called sys.exit({'' if error.code is None else repr(error.code)})"
    if isinstance(error, LegatoError):
        return f"{error.what} [{error.code}]" + (f": {error.why}" if error.why else "")
    try:
        text = str(error)
    except BaseException:
        text = f"({type(error).__qualname__} whose text cannot be made)"
    return text or type(error).__qualname__


def _retry_after(error: BaseException) -> float | None:
    """Seconds; also given as the header `Retry-After` has it, which is text: a number of seconds, or a date."""
    wanted = getattr(error, "retry_after", None)
    if isinstance(wanted, str):
        wanted = _seconds_of(wanted.strip())
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not isfinite(wanted):
        return None
    return max(0.0, float(wanted))


def _seconds_of(header: str) -> float | None:
    if header.isdecimal():
        return float(header)
    from email.utils import parsedate_to_datetime  # few errors need it

    try:
        return parsedate_to_datetime(header).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _trace(error: BaseException, body: Body | None, root: Path) -> str:
    story = traceback.TracebackException.from_exception(error, compact=True)
    seen: set[int] = set()
    part: traceback.TracebackException | None = story
    while part is not None and id(part) not in seen:
        seen.add(id(part))
        part.stack = _trim_stack(part.stack, body, root)
        part = part.__cause__ or part.__context__
    return "".join(story.format()).rstrip()


def _trim_stack(stack: traceback.StackSummary, body: Body | None, root: Path) -> traceback.StackSummary:
    """The user's frames, and the last one of all if the error came out of a library: where it was and who raised it."""
    kept = [frame for frame in stack if _is_users(frame.filename, body, root)]
    if stack and stack[-1] not in kept and not stack[-1].filename.startswith(_HERE):
        kept.append(stack[-1])
    return traceback.StackSummary.from_list(kept)


def _is_users(file: str, body: Body | None, root: Path) -> bool:
    if body is not None and file == (body.file or body.fn.__code__.co_filename):
        return True
    if "site-packages" in file or file.startswith(_LIBRARY):
        return False
    return file.startswith(f"{root}{os.sep}") and not file.startswith(_HERE)


def _place(body: Body | None, root: Path) -> str:
    return f"{_shorten(body.file, root)}:{body.line}" if body and body.file else ""


def _shorten(file: str, root: Path) -> str:
    """The file relative to the project's folder if it is below."""
    return file.removeprefix(f"{root}{os.sep}")


def _cut(text: str) -> str:
    if len(text) <= _LIMIT:
        return text
    half = _LIMIT // 2
    return f"{text[:half]}\n... {len(text) - 2 * half:,} characters left out ...\n{text[-half:]}"
