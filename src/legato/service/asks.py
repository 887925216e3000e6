"""What other processes can ask of the conductor, and what it answers: records, of which a desk is opened with those it takes."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from legato.ports.access import Token, User
from legato.service.former import Code
from legato.service.request import Request
from legato.terms.errors import Fault
from legato.terms.instant import Instant


class Ask(Struct, frozen=True, kw_only=True, tag_field="ask"):
    """Anything that is asked. `actor` is who asks, as the process that sent it has found out: a desk trusts its peers, who are
    the same user of the machine."""

    actor: str = ""


class Ping(Ask, frozen=True, tag="ping"):
    """Is anybody there?"""


class Pong(Struct, frozen=True, kw_only=True):
    """Yes: which process, since when, how many runs it has open, and how many workers for them."""

    pid: int
    since: Instant
    open_runs: int
    workers: int


class GetSnapshot(Ask, frozen=True, kw_only=True, tag="snapshot"):
    """The project as data, if it is another than the `known` one (by the fingerprint of its files)."""

    known: str = ""


class SnapshotGiven(Struct, frozen=True, kw_only=True):
    """The snapshot that the conductor works with; no body where it is the known one. `faults` is what is wrong with the files as
    they are now, if they are not in force for that."""

    source: str
    body: bytes = b""
    faults: tuple[Fault, ...] = ()


class SubmitRun(Ask, frozen=True, kw_only=True, tag="submit"):
    """Plan a request and run it. The same `key` again gives the same run: whoever got no answer asks again with it.

    `source` is the project's files as whoever asks sees them (their fingerprint), if it
    is to run with these and no others. Where it starts from a run, `code` says whether with the code of now or of then.
    """

    request: Request
    key: str = ""
    source: str = ""
    code: Code = ""


class Submitted(Struct, frozen=True, kw_only=True):
    """What became of it: the run, or none where nothing was to be done. `new` is False if it was asked for before."""

    run: str
    new: bool
    request: str
    steps: int
    skipped: int
    reasons: dict[str, int] = {}


class CancelRun(Ask, frozen=True, kw_only=True, tag="cancel"):
    """Stop a run."""

    run: str
    reason: str = ""


class PauseRun(Ask, frozen=True, kw_only=True, tag="pause-run"):
    """Let a run stand still."""

    run: str
    reason: str = ""


class ResumeRun(Ask, frozen=True, kw_only=True, tag="resume"):
    """Let a run go on, with the project's files as they are in `source`, if that is said; with `failed_only` what was cancelled
    stays so. `code` says whether with the code of now, or with that of then."""

    run: str
    source: str = ""
    failed_only: bool = False
    code: Code = ""


class AnswerWait(Ask, frozen=True, kw_only=True, tag="answer"):
    """Answer what a flow waits for at a step: with a value (MessagePack). `groups` are those that the actor is in."""

    run: str
    step: int
    value: bytes
    reason: str = ""
    groups: tuple[str, ...] = ()


class SendSignal(Ask, frozen=True, kw_only=True, tag="signal"):
    """Send a run a signal with a value (MessagePack): it ends what waits for it, or is kept until something does. The same `id`
    again is the same signal."""

    run: str
    name: str
    value: bytes
    id: str


class Heard(Struct, frozen=True, kw_only=True):
    """It is recorded. `state` is the run's own since then."""

    run: str
    state: str


class RollBack(Ask, frozen=True, kw_only=True, tag="rollback"):
    """Publish older versions of `ASSET`, `ASSET@PARTITION` or `ASSET@RANGE` again: those before, or `to` a version or run."""

    what: str
    to: str = ""


class RolledBack(Struct, frozen=True, kw_only=True):
    """The run that published them, how many partitions went back, and those that had nowhere to go."""

    run: str
    count: int
    left: tuple[str, ...]


class AddKeys(Ask, frozen=True, kw_only=True, tag="keys"):
    """Add keys to a dynamic set of partitions."""

    name: str
    keys: tuple[str, ...]


class LogIn(Ask, frozen=True, kw_only=True, tag="login"):
    """Exchange a link, by its digest, for a session: the link is gone with it."""

    link: str
    session: Token


class ChangeAccess(Ask, frozen=True, kw_only=True, tag="access"):
    """Record users and tokens, and take tokens back by their ids."""

    users: tuple[User, ...] = ()
    tokens: tuple[Token, ...] = ()
    revoked: tuple[str, ...] = ()


class Done(Struct, frozen=True, kw_only=True):
    """It is recorded; `count` says of how many things."""

    count: int


ASKS: tuple[type[Ask], ...] = (
    Ping, GetSnapshot, SubmitRun, CancelRun, PauseRun, ResumeRun, AnswerWait, SendSignal, RollBack, AddKeys, LogIn, ChangeAccess,
)  # fmt: skip
"""What every service takes. Others are handed to `Desk` and `Attendant` beside these."""


# -- what comes in from outside --


class Delivery(Struct, frozen=True, kw_only=True):
    """A call of a webhook, or a message on a topic (`name`). Under the same `id` it is the same one; `key` is a message's own."""

    name: str
    id: str
    body: bytes
    key: str = ""


class Deliver(Ask, frozen=True, kw_only=True, tag="deliver"):
    """Tell the triggers of calls or messages that came. Answered when what they make of them is recorded."""

    kind: Literal["webhook", "message"]
    items: tuple[Delivery, ...]


class Verdict(Struct, frozen=True, kw_only=True):
    """What a trigger made of a tick: it fired or was skipped, and why."""

    trigger: str
    outcome: Literal["fired", "skipped"]
    why: str = ""


class Taken(Struct, frozen=True, kw_only=True):
    """What became of one delivery: the tick that it is, and what was decided of it; `new` is False if it came before.

    `heard` is False if nobody listens: then nothing is recorded of it.
    """

    tick: str
    heard: bool
    new: bool
    decided: tuple[Verdict, ...]


class ObjectSeen(Struct, frozen=True, kw_only=True):
    """An object in a store: its path as patterns are written, what tells its bytes from others, and its size."""

    path: str
    digest: str
    size: int


class TellObjects(Ask, frozen=True, kw_only=True, tag="objects"):
    """Tell the triggers of objects that are there. One that they know is nothing new to them."""

    objects: tuple[ObjectSeen, ...]


class PauseTrigger(Ask, frozen=True, kw_only=True, tag="pause"):
    """Let a trigger stand still, or (`paused` is False) go on."""

    trigger: str
    paused: bool


class PausedNow(Struct, frozen=True, kw_only=True):
    """It is recorded that the trigger stands still, or does not."""

    trigger: str
    paused: bool


ALIVE: tuple[type[Ask], ...] = (Deliver, TellObjects, PauseTrigger)
"""What a service takes beside these: it has triggers."""
