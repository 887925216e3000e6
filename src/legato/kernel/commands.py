"""What the shell is asked to do, imperative, after the events that say so are committed."""

from __future__ import annotations

from msgspec import Struct

from legato.terms.attempt import Mode, Ref


class StartAttempts(Struct, frozen=True):
    """Hand these steps out, to one worker, in this order; tokens count up from `token`."""

    steps: tuple[int, ...]
    token: int
    mode: Mode = "run"


class StartBeside(Struct, frozen=True):
    """Hand this step out to where the attempt of its flow is."""

    step: int
    token: int
    parent: int
    parent_token: int


class Deliver(Struct, frozen=True):
    """Tell the attempt of a flow the outcomes of these steps, which it called."""

    parent: int
    parent_token: int
    steps: tuple[int, ...]


class KillAttempt(Struct, frozen=True):
    """Stop the attempt and all that it started, at once."""

    step: int
    token: int


class DiscardStaged(Struct, frozen=True):
    """Forget what an attempt staged that will never be published."""

    refs: tuple[Ref, ...]


Command = StartAttempts | StartBeside | Deliver | KillAttempt | DiscardStaged
