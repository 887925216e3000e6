"""One decision in the making: what was asked, what has been decided so far."""

from __future__ import annotations

from legato.kernel.commands import Command
from legato.kernel.events import AnyEvent
from legato.kernel.fold import fold
from legato.kernel.state import Attempt, RunState
from legato.terms.instant import Instant


class Turn:
    """Collects events and commands. An emitted event is folded at once, so that the next rule sees its effect."""

    __slots__ = ("commands", "events", "now", "state")

    def __init__(self, state: RunState, now: Instant) -> None:
        self.state, self.now = state, now
        self.events: list[AnyEvent] = []
        self.commands: list[Command] = []

    def attempt(self, step: int, token: int) -> Attempt | None:
        """The attempt that a report may speak for: fenced by its token."""
        found = self.state.running.get(step)
        return found if found is not None and found.token == token else None

    def emit(self, event: AnyEvent) -> None:
        """Decide that this happened."""
        self.events.append(event)
        fold(self.state, event)

    def ask(self, command: Command) -> None:
        """Decide that this is to be done, once the events are committed."""
        self.commands.append(command)
