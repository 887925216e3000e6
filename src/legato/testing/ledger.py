"""What attempts told, beside what is on record of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from legato.kernel.events import FactsNoted
from legato.terms.attempt import Fact
from legato.terms.fact import Markdown, Metric, Progress, Table
from legato.testing.program_tasks import Told
from legato.testing.witness import Key


@dataclass
class Telling:
    """What one attempt has told so far; of a body, with all that was told before it was entered again."""

    token: int
    is_body: bool
    facts: list[Told] = field(default_factory=list)


class Ledger:
    """Holds what is on record against what was told; `refuse` is given what does not fit, under the name of its step."""

    def __init__(self, refuse: Callable[[str], None]) -> None:
        self._refuse = refuse
        self._telling: dict[Key, Telling] = {}
        self._recorded: dict[Key, list[tuple[int, int, Told]]] = {}

    def begin(self, key: Key, token: int, *, is_body: bool) -> None:
        """An attempt is made: it tells everything anew."""
        self._telling[key] = Telling(token, is_body)

    def tell(self, key: Key, fact: Told) -> None:
        """The attempt that is made tells a fact."""
        self._telling[key].facts.append(fact)

    def record(self, key: Key, name: str, event: FactsNoted) -> None:
        """Facts are on record: each once."""
        recorded = self._recorded.setdefault(key, [])
        for fact, known_by in zip(event.facts, event.keys or [0] * len(event.facts), strict=True):
            if known_by and any(known_by == other for _, other, _ in recorded):
                self._refuse(f"{name} tells {fact} twice")
            recorded.append((event.token, known_by, _told(fact)))

    def check(self, key: Key, name: str, token: int, *, ordered: bool) -> None:
        """All that was told is on record once, and in order: of a body by all its attempts, of others by the last one."""
        telling, recorded = self._telling[key], self._recorded.get(key, [])
        if telling.token != token:
            self._refuse(f"{name} succeeds by another attempt than the one that was made last")
        wanted = [fact for fact in telling.facts if fact[0] != "progress"]
        found = [
            fact for by, known_by, fact in recorded if fact[0] != "progress" and (known_by if telling.is_body else by == token)
        ]
        if not ordered:
            wanted, found = sorted(wanted, key=_name_of), sorted(found, key=_name_of)
        if wanted != found:
            self._refuse(f"{name} told {wanted}, but {found} is on record")
        newest = [fact for fact in telling.facts if fact[0] == "progress"][-1:]
        if not {*newest} <= {fact for by, _, fact in recorded if by == token and fact[0] == "progress"}:
            self._refuse(f"{name} told {newest}, but that is not on record")


def _told(fact: Fact) -> Told:
    """A fact on record as whoever tells it knows it."""
    match fact:
        case Metric():
            return "metric", fact.name, fact.value
        case Table():
            rows = msgspec.msgpack.decode(fact.rows)
            return "table", fact.name, [dict(zip(fact.columns, row, strict=True)) for row in rows]
        case Markdown():
            return "markdown", fact.name, fact.text
        case Progress():
            return "progress", fact.done
    raise LookupError(f"no program tells {fact}")


def _name_of(fact: Told) -> str:
    return str(fact[1])
