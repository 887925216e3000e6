"""Random programs, and the luck that their attempts have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from legato.terms.attempt import Order
from legato.testing.program_tasks import Program
from legato.testing.sample import Act, Script

_SECONDS = (0.0005, 0.0005, 0.02, 0.3, 0.55)
_MOST_DEATHS = 2
"""How often a step's process dies, where that is not to be final: as often as the platform tries again by itself."""

KINDS = (
    "call", "call", "named", "chain", "if", "while", "try", "submit", "loose", "done", "shuffled", "passed", "map", "shared",
    "broken", "sub", "stubborn", "guarded", "turns", "later", "frail", "external", "tables", "sleep", "approval", "signal",
    "book", "twice", "tell", "hurried", "overdue", "tour",
)  # fmt: skip
KINDS_LATER = (
    "call",
    "chain",
    "chain",
    "group",
    "then",
    "while",
    "passed",
    "map",
    "try",
    "sub",
    "sleep",
    "approval",
    "external",
    "tell",
)
_FLOWS = frozenset(("try", "sub", "stubborn", "guarded", "later", "frail", "hurried", "overdue", "tour"))
_BLOCKS = frozenset(("if", "try", "sub", "stubborn", "guarded", "later", "frail", "hurried", "tour"))
_PLAIN = ("make", "make", "narrow", "polite", "flaky", "slow", "weak", "patient", "thrifty", "big", "book", "chatty")


class Drawer:
    """Draws one program; no two of its calls are alike, unless they are meant to be. A `flat` one calls no flows."""

    def __init__(self, random: Random, name: str, *, flat: bool = False) -> None:
        self._random = random
        self._kinds = [kind for kind in KINDS if kind not in _FLOWS] if flat else KINDS
        self._kinds_later = [kind for kind in KINDS_LATER if kind != "sub"] if flat else KINDS_LATER
        self._labels: Iterator[str] = (f"{name}{number}" for number in count())

    def program(self, size: int, depth: int = 2, *, ruins: bool = False) -> Program:
        """So many operations; those that hold others do so no deeper than this. One that ruins ends with a call that fails."""
        drawn = [self._op(depth) for _ in range(size)]
        return [*drawn, ["call", self._random.choice(("ruin", "ruin", "stopper")), self._label()]] if ruins else drawn

    def beside(self, size: int, depth: int = 2) -> Program:
        """So many operations that go on at once."""
        return [self._op_later(depth) for _ in range(size)]

    def _label(self) -> str:
        return next(self._labels)

    def _several(self, most: int = 4) -> list[str]:
        return [self._label() for _ in range(self._random.randint(0, most))]

    def _question(self) -> str:
        return f"{self._random.choice(('yes', 'no', 'just', 'never'))} {self._label()}"

    def _op(self, depth: int) -> list[Any]:
        kind = self._random.choice(self._kinds)
        return self._block(kind, depth) if kind in _BLOCKS else self._plain(kind)

    def _block(self, kind: str, depth: int) -> list[Any]:
        """An operation that holds others."""
        if kind == "later":
            return [kind, self.beside(self._random.randint(0, 4), depth)]
        if kind == "guarded":  # one inside of another would wait for itself
            plain = [[["submit", "make", self._several()], ["sleep", 0.2], ["call", "flaky", self._label()]] for _ in range(2)]
            return [kind, plain[: self._random.randint(1, 2)]]
        if kind == "hurried":  # what fails in it, and takes its time to, it would wait for in vain again and again
            return [kind, [self._plain("submit"), self._plain("tell"), self._plain("chain")]]
        inner = self._inner(depth)
        if kind == "tour":
            return [kind, self._label(), inner]
        if kind == "if":
            return [kind, self._label(), inner, self._inner(depth)]
        if kind == "try":
            return [kind, self._risky(inner), self._label()]
        return [kind, [["submit", "balky", self._several(2)], *inner] if kind == "stubborn" else inner]

    def _inner(self, depth: int) -> Program:
        return self.program(self._random.randint(1, 3), depth - 1) if depth else [["call", "make", self._label()]]

    def _plain(self, kind: str) -> list[Any]:
        random = self._random
        match kind:
            case "submit" | "loose" | "done" | "shuffled":
                return [kind, random.choice(_PLAIN), self._several()]
            case "map":
                return [kind, random.choice(_PLAIN), self._label(), random.randint(0, 6)]
            case "chain" | "while" | "shared" | "broken" | "tell":
                return [kind, self._label(), random.randint(0, 4)]
            case "passed":
                return [kind, self._label(), self._label()]
            case "turns":
                return [kind, self._several()]
            case "external" | "overdue":
                return [kind, self._label()]
            case "twice":
                return [kind, random.choice(("thrifty", "thriftier")), self._label()]
            case "tables":
                return [kind]
            case "sleep":
                return [kind, random.choice((0.0, 0.2, 3.0, 10.0))]
            case "approval":
                return [kind, self._question()]
            case "signal":
                return [kind, random.choice((self._label(), "the same"))]
        return ["named" if kind == "named" else "call", "book" if kind == "book" else random.choice(_PLAIN), self._label()]

    def _risky(self, program: Program) -> Program:
        """The program with something in it that raises, or not."""
        random, bad = self._random, ["call", "bad", self._label()]
        roll = random.random()
        if roll < 0.3:
            return program
        if roll < 0.6:
            return [["sub", [["loose", "make", self._several()], *program, bad]]]
        return [*program[: random.randint(0, len(program))], bad, *program]

    def _op_later(self, depth: int) -> list[Any]:
        random, kind = self._random, self._random.choice(self._kinds_later)
        match kind:
            case "chain" | "while" | "tell":
                return [kind, self._label(), random.randint(1, 4)]
            case "group" | "then":
                return [kind, self.beside(random.randint(0, 3), depth - 1) if depth else []]
            case "passed":
                return [kind, self._label(), self._label()]
            case "external":
                return [kind, self._label()]
            case "map":
                return [kind, self._label(), random.randint(0, 5)]
            case "try":
                return [kind, ["call", random.choice(("bad", "make")), self._label()], self._label()]
            case "sub":
                return [kind, [["call", "make", self._label()], ["submit", "flaky", self._several()]]]
            case "sleep":
                return [kind, random.choice((0.0, 0.2, 3.0))]
            case "approval":
                return [kind, self._question()]
        return ["call", random.choice(_PLAIN), self._label()]


@dataclass
class Luck(Script):
    """What happens to the attempts of a program's calls: all of it passes, unless it is `hard` and not healed yet."""

    tempers: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    hard: bool = False
    undo_fails: frozenset[str] = frozenset()
    _deaths: dict[tuple[str, int], int] = field(default_factory=dict)

    def act(self, order: Order) -> Act:
        """What this attempt will do."""
        seconds = self.random.choice(_SECONDS) * (0.5 + self.random.random())
        if self._dies(order):
            return Act("die", seconds)
        return Act(self._fate(order), seconds)

    def life_s(self, order: Order) -> float | None:
        """After how many seconds the process of this flow's attempt dies of itself; None if it does not."""
        return self.random.choice((0.0, 0.01, 0.3, 2.0)) * self.random.random() if self._dies(order) else None

    def _dies(self, order: Order) -> bool:
        return not self.healed and self.random.random() < self.deaths and self.dies_too(order)

    def dies_too(self, flow: Order) -> bool:
        """Whether this attempt's process may die: not too often, where that would be final."""
        died = self._deaths[flow.run, flow.step] = self._deaths.get((flow.run, flow.step), 0) + 1
        return self.hard or died <= _MOST_DEATHS

    def _fate(self, order: Order) -> Any:
        """Flaky calls fail twice, balky ones once; slow ones hang once, endless ones always; weak ones never work, ruinous ones
        once all is healed."""
        if order.mode == "undo":
            return "raise" if order.node in self.undo_fails and not self.healed else "done"
        if order.node == "endless":
            return "hang"
        if self.healed or order.mode == "fallback":
            return "done"
        tries = self._tries[order.run, order.step] = self._tries.get((order.run, order.step), 0) + 1
        if order.node == "flaky":
            return "raise" if tries < 3 else "done"
        if order.node == "slow":
            return "hang" if tries < 2 else "done"
        if order.node == "balky":
            return "raise" if tries < 2 else "done"
        return "raise" if order.node in ("weak", "ruin", "stopper") else "done"
