"""Keeps secrets out of what is written down: errors, logs and facts."""

from __future__ import annotations

import json
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

from msgspec.structs import replace

from legato.declare.resource import MASK, Secret, revealed
from legato.terms.attempt import Output
from legato.terms.errors import LegatoError
from legato.terms.fact import Verdict

_SHORTEST, _SHORTEST_LINE, _SHORTEST_CORE = 4, 8, 6
"""Shorter values are no secrets, and masking them would tear words apart; so with lines of them, and with what is encoded."""
_MASK = MASK.encode()
Span = tuple[int, int]
Hide = Callable[[str], str]


class Mask:
    """Hides the values of a project's secrets, also where they are encoded: as JSON, in a URL, in HTML, in base64, in hex.

    Values are read each time, since a secret may be set or changed meanwhile; one that was seen once stays hidden.
    """

    def __init__(self, secrets: Sequence[Secret]) -> None:
        self._secrets = tuple(secrets)
        self._seen: set[str] = set()
        self._forms: Forms = Forms(())

    def forms(self) -> Forms:
        """All that is to be hidden now."""
        if not self._secrets and not revealed():
            return self._forms
        values = {value for value in (*self._read(), *revealed()) if len(value) >= _SHORTEST}
        if not values <= self._seen:
            self._seen |= values
            self._forms = Forms(form for value in self._seen for form in forms_of(value))
        return self._forms

    def cover(self) -> Hide:
        """What puts `***` in the place of secrets in a text. It reads them once: for a moment, not to be kept."""
        forms = self.forms()

        def hide(text: str) -> str:
            body = text.encode("utf-8", "surrogatepass")
            hidden = forms.hide(body)
            return text if hidden is body else hidden.decode("utf-8", "surrogatepass")

        return hide if forms else str

    def hide_in_outputs(self, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
        """The outputs, with `***` in what checks said of them. Values themselves are data, and stay as they are."""
        if not outputs or not self.forms():
            return outputs
        hide = self.cover()
        return tuple(replace(each, verdicts=tuple(_hide_in_verdict(hide, said) for said in each.verdicts)) for each in outputs)

    def _read(self) -> Iterator[str]:
        for secret in self._secrets:
            if not secret.is_asked_elsewhere:  # what was never revealed could not be printed
                try:
                    yield secret.read()
                except (LegatoError, ValueError):  # not set here, or no text: so nothing could have printed it
                    continue


def _hide_in_verdict(hide: Hide, said: Verdict) -> Verdict:
    sample = [
        {name: hide(value) if isinstance(value, str) else value for name, value in row.items()} for row in said.sample
    ]  # fmt: skip
    return replace(said, message=hide(said.message), where=hide(said.where), sample=sample)


class Forms:
    """Texts to hide, as bytes."""

    def __init__(self, forms: Iterable[bytes]) -> None:
        self._forms = sorted(set(forms), key=len, reverse=True)
        self._tree: dict[int, dict] = {}  # type: ignore[type-arg]
        for form in self._forms:
            branch = self._tree
            for byte in form:
                branch = branch.setdefault(byte, {})
        self._longest = len(self._forms[0]) if self._forms else 0

    def __bool__(self) -> bool:
        return bool(self._forms)

    def hide(self, body: bytes) -> bytes:
        """The bytes with `***` where one of the texts stands, or several that overlap; the same object where none does."""
        spans = self._find(body)
        return _cut_out(body, spans, len(body)) if spans else body

    def pass_on(self, body: bytes) -> tuple[bytes, int]:
        """As much of a stream's next bytes as can be shown whatever follows them, hidden; and how many of them that were."""
        spans = self._find(body)
        hold = self._unsure_from(body, spans)
        return _cut_out(body, [span for span in spans if span[1] <= hold], hold), hold

    def _find(self, body: bytes) -> list[Span]:
        found: list[Span] = []
        for form in self._forms:
            at = body.find(form)
            while at >= 0:
                found.append((at, at + len(form)))
                at = body.find(form, at + 1)
        return _merged(sorted(found))

    def _unsure_from(self, body: bytes, spans: Sequence[Span]) -> int:
        """Where a text may begin that is not over yet; what overlaps it is not sure either."""
        for at in range(max(0, len(body) - self._longest), len(body)):
            if self._may_go_on(body, at):
                before = bisect_right(spans, (at, len(body) + 1)) - 1
                return spans[before][0] if before >= 0 and spans[before][1] > at else at
        return len(body)

    def _may_go_on(self, body: bytes, at: int) -> bool:
        branch = self._tree
        for byte in memoryview(body)[at:]:
            if byte not in branch:
                return False
            branch = branch[byte]
        return bool(branch)


def forms_of(value: str) -> Iterator[bytes]:
    """The ways in which a secret may be written."""
    for text in {value, *(line.strip() for line in value.splitlines() if len(line.strip()) >= _SHORTEST_LINE)}:
        yield text.encode("utf-8", "surrogatepass")
        yield from {each.encode("utf-8", "surrogatepass") for each in _quoted(text)}
        body = text.encode("utf-8", "surrogatepass")
        yield from (each for each in _encoded(body) if len(each) >= _SHORTEST_CORE)


def _quoted(text: str) -> Iterator[str]:
    import html

    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield json.dumps(text)[1:-1].replace("/", "\\/")
    yield repr(text)[1:-1]
    yield html.escape(text)
    for escaped in (quote(text, safe="", errors="replace"), quote(text, errors="replace"), quote_plus(text, errors="replace")):
        yield escaped
        yield _lower_escapes(escaped)


def _lower_escapes(text: str) -> str:
    parts = text.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


def _encoded(body: bytes) -> Iterator[bytes]:
    yield body.hex().encode()
    yield body.hex().upper().encode()
    for before in range(3):  # how it comes out depends on what stands before it, in groups of three bytes
        encoded = b64encode(b"\0" * before + body)
        core = encoded[-(-before * 8 // 6) : (before + len(body)) * 8 // 6]
        yield core
        yield core.translate(bytes.maketrans(b"+/", b"-_"))


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _cut_out(body: bytes, spans: Sequence[Span], until: int) -> bytes:
    parts, at = [], 0
    for start, end in spans:
        parts += [body[at:start], _MASK]
        at = end
    return b"".join([*parts, body[at:until]])
