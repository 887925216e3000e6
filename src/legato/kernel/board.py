"""What runs share: slots of pools, and who is writing which asset partition. Derived from the runs' events, never stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Claim = tuple[str, str]
"""An asset and a partition."""

Owner = tuple[str, int]
"""A run and a step."""

UNLIMITED = 1 << 60


class Board:
    """Slots and claims. A claim that is taken parks whoever asks; when it is free again, they are called in order of asking."""

    __slots__ = ("claims", "parked", "slots", "used")

    def __init__(self, slots: Mapping[str, int] | None = None) -> None:
        self.slots = dict(slots or {})
        self.used: dict[str, int] = {}
        self.claims: dict[Claim, Owner] = {}
        self.parked: dict[Claim, list[Callable[[], None]]] = {}

    def free(self, pool: str) -> int:
        """How many more attempts the pool allows now."""
        return self.slots.get(pool, UNLIMITED) - self.used.get(pool, 0)

    def holder(self, claims: tuple[Claim, ...], owner: Owner) -> tuple[Claim, Owner] | None:
        """The first of the claims that somebody else holds, and who."""
        for claim in claims:
            other = self.claims.get(claim)
            if other is not None and other != owner:
                return claim, other
        return None

    def park(self, claim: Claim, call: Callable[[], None]) -> None:
        """Call this once the claim is free."""
        self.parked.setdefault(claim, []).append(call)

    def take(self, pool: str, claims: tuple[Claim, ...], owner: Owner) -> None:
        """An attempt of the owner has started."""
        self.used[pool] = self.used.get(pool, 0) + 1
        for claim in claims:
            self.claims[claim] = owner

    def give_back(self, pool: str, claims: tuple[Claim, ...], owner: Owner) -> None:
        """The owner's attempt is over: its slot and its claims are free, and who waited for them is called."""
        self.used[pool] = self.used.get(pool, 0) - 1
        for claim in claims:
            if self.claims.get(claim) == owner:
                del self.claims[claim]
                for call in self.parked.pop(claim, ()):
                    call()
