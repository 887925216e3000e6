"""Parts of what attempts wrote: by place, by line, and by what stands in it. Nothing is ever read whole."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from legato.service.logbook import AttemptRecord, Logbook, read_log
from legato.service.workspace import Workspace
from legato.terms.errors import NotFound

MOST_BYTES = 1 << 20
MOST_SCANNED = 256 << 20
_LONGEST_LINE = 1 << 16
_SHOWN = 500


class Excerpt(Struct, frozen=True, kw_only=True):
    """Output of one attempt from one place to another, in bytes from its beginning; `line` is the number of the first line, where
    it was asked for by line. `ended` says that nothing follows, ever."""

    token: int
    name: str
    text: str
    start: int
    end: int
    ended: bool
    line: int = 0


class Match(Struct, frozen=True, kw_only=True):
    """A line that has the words: of which attempt, which line, where it begins."""

    token: int
    name: str
    line: int
    start: int
    text: str


class Matches(Struct, frozen=True, kw_only=True):
    """What was found; `complete` is False where there is more, or more than was looked at."""

    matches: list[Match]
    complete: bool


def read_excerpt(
    workspace: Workspace, book: Logbook, token: int, *, start: int = 0, line: int = 0, most: int = MOST_BYTES
) -> Excerpt:
    """The output of an attempt from a byte on, or from a line on (counted from 1)."""
    attempt = book.attempts.get(token)
    if attempt is None:
        raise NotFound("attempt", f"run {book.run_id} has no attempt {token}", next=f"legato logs {book.run_id}")
    place = _place_of(workspace, attempt, line) if line else start
    body = b""
    for chunk in _chunks(workspace, attempt, place):
        body += chunk
        if len(body) >= most:
            break
    body = _whole_characters(body[:most])
    end, size = place + len(body), _size(attempt)
    return Excerpt(
        token=token, name=book.title(attempt), text=body.decode("utf-8", "replace"), start=place, end=end, line=line,
        ended=bool(attempt.outcome) and (size < 0 or end >= size),
    )  # fmt: skip


def search(workspace: Workspace, book: Logbook, words: str, *, limit: int = 100) -> Matches:
    """The lines of a run's output that have these words, whatever their case; attempt by attempt."""
    wanted, scanned, found = words.lower(), 0, list[Match]()
    for attempt in book.attempts.values():
        for line, start, text in _lines(workspace, attempt):
            scanned += len(text)
            if wanted in text.decode("utf-8", "replace").lower():
                shown = text.decode("utf-8", "replace")[:_SHOWN]
                found.append(Match(token=attempt.token, name=book.title(attempt), line=line, start=start, text=shown))
            if len(found) > limit or scanned > MOST_SCANNED:
                return Matches(matches=found[:limit], complete=False)
    return Matches(matches=found, complete=True)


def _place_of(workspace: Workspace, attempt: AttemptRecord, line: int) -> int:
    place = 0
    for number, start, text in _lines(workspace, attempt):
        if number == line:
            return start
        place = start + len(text) + 1
    return place


def _lines(workspace: Workspace, attempt: AttemptRecord) -> Iterator[tuple[int, int, bytes]]:
    """Each line with its number and where it begins; one that is longer than any should be comes in pieces of one number."""
    number, start, rest = 1, 0, b""
    for chunk in _chunks(workspace, attempt, 0):
        *whole, rest = (rest + chunk).split(b"\n")
        for text in whole:
            yield number, start, text
            number, start = number + 1, start + len(text) + 1
        if len(rest) > _LONGEST_LINE:
            yield number, start, rest
            start, rest = start + len(rest), b""
    if rest:
        yield number, start, rest


def _chunks(workspace: Workspace, attempt: AttemptRecord, place: int) -> Iterator[bytes]:
    span = attempt.log
    size = _size(attempt)
    if span is None or (0 <= size <= place):
        return iter(())
    return read_log(workspace, span, span.start + max(0, place))


def _size(attempt: AttemptRecord) -> int:
    """How long the output is; -1 while it grows."""
    if attempt.log is None:
        return 0 if attempt.outcome else -1
    return attempt.log.end - attempt.log.start if attempt.log.end >= 0 else -1


def _whole_characters(body: bytes) -> bytes:
    """The bytes without a character that was cut at the end."""
    for back in range(1, min(4, len(body)) + 1):
        byte = body[-back]
        if byte < 0x80:
            return body
        if byte >= 0xC0:
            width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return body if width <= back else body[:-back]
    return body
