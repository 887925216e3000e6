"""What travels between the conductor and a worker: orders down, reports up. Nothing else crosses that line.

These are plain records without cycles, and there are many of them: the garbage collector need not look at them (`gc=False`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from legato.terms.fact import Column, Error, Markdown, Metric, Progress, Table, Verdict

Mode = Literal["run", "fallback", "undo", "key"]


class Ref(Struct, frozen=True, gc=False, array_like=True):
    """A stored value: which version of which asset partition it is, and where and how it is stored.

    For a task's value `asset` is the task's name and `version` the run and token that made it. `location` means
    something to the named storage alone. `digest` is over the stored bytes; `rows` is -1 for values without rows.
    """

    asset: str
    partition: str
    version: str
    storage: str
    location: str
    format: str
    size_bytes: int = 0
    rows: int = -1
    digest: str = ""


class Argument(Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """One input of an attempt: stored versions to load (in partition order), or a small value inline (MessagePack).

    Of many values some may be stored and others inline: then `value` maps every partition, in order, to its value, and to
    nil where one of the `refs` has it.
    """

    param: str
    refs: tuple[Ref, ...] = ()
    value: bytes | None = None
    many: bool = False
    """Whether the dependency can name several partitions, however many it names this time."""


Item = bytes | Ref
"""A value that is handed over: inline (MessagePack), or stored."""


def argument_of(param: str, item: Item) -> Argument:
    """The argument that has this value."""
    return Argument(param, (item,)) if isinstance(item, Ref) else Argument(param, (), item)


class Order(Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """One attempt to make. `token` fences it: a report with another token is refused."""

    run: str
    step: int
    token: int
    node: str
    partition: str = ""
    arguments: tuple[Argument, ...] = ()
    mode: Mode = "run"
    attempt: int = 1
    poll: bool = False
    """Whether None says that there is no result yet."""
    published: tuple[tuple[str, tuple[Column, ...]], ...] = ()
    """By asset: the columns that readers see now, where its contract promises that new ones will be compatible."""
    undone: int = 0
    """How often the step was made and taken back before."""
    remark: str = ""
    """What is to be said in the attempt's log before it begins."""
    noted: tuple[int, ...] = ()
    """Of a flow: the keys of the facts that are on record."""
    together: tuple[str, ...] = ()
    """The partitions that one call makes, of which this is one. The order with the token `head` makes it, and has its inputs."""
    head: int = 0


class LogSpan(Struct, frozen=True, gc=False, array_like=True):
    """Where an attempt's output stands: a file below the project's log folder and a byte range; end -1 while it grows."""

    file: str
    start: int
    end: int = -1


class Output(Struct, frozen=True, gc=False, array_like=True):
    """One staged version with what was found out about it while it was in memory."""

    ref: Ref
    columns: tuple[Column, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


class Begun(Struct, frozen=True, gc=False, array_like=True, tag="begun"):
    """An attempt reached user code. Sent for attempts that last; quick ones may skip it."""

    run: str
    step: int
    token: int
    log: LogSpan | None = None


class Done(Struct, frozen=True, gc=False, array_like=True, tag="done", omit_defaults=True):
    """An attempt returned. An asset's outputs are staged; a task's value is inline (`value`) or stored (`kept`)."""

    run: str
    step: int
    token: int
    seconds: float
    value: bytes | None = None
    kept: Ref | None = None
    outputs: tuple[Output, ...] = ()
    log: LogSpan | None = None
    replaces: tuple[str, ...] = ()
    """Versions that the outputs replace, in their order; filled in by the conductor, not by the worker."""


class Raised(Struct, frozen=True, gc=False, array_like=True, tag="raised", omit_defaults=True):
    """An attempt failed in user code, or its value was refused. Nothing it staged will be published."""

    run: str
    step: int
    token: int
    seconds: float
    error: Error
    log: LogSpan | None = None


class Declined(Struct, frozen=True, gc=False, array_like=True, tag="declined", omit_defaults=True):
    """The step's `when=` said no: nothing ran."""

    run: str
    step: int
    token: int
    seconds: float = 0.0


class Lost(Struct, frozen=True, gc=False, array_like=True, tag="lost"):
    """The worker that held the attempt is gone, with its whole process group. Made by the executor, never by a worker."""

    run: str
    step: int
    token: int
    reason: str
    log: LogSpan | None = None


class Returned(Struct, frozen=True, gc=False, array_like=True, tag="returned"):
    """The attempt had not begun and now never will: it may be handed out again at no cost."""

    run: str
    step: int
    token: int


class Wait(Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """What a flow waits for without holding a worker: time (`seconds`), somebody's approval, or a signal.

    `name` is the question or the signal's name; `who` may approve (empty: anybody); `seconds` is the time limit of an
    approval or a signal (None: none).
    """

    kind: Literal["sleep", "approval", "signal"]
    name: str = ""
    seconds: float | None = None
    who: str = ""


class Call(Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """A call that a flow makes, or many that differ in one argument alone: of a task, another flow, an asset to materialize, or
    a wait (`node` is empty then).

    `keys` has one identity for each call, which it has within the flow whatever the order of calls: node, inputs and number among
    equal calls, or an explicit name. Of many calls each takes one of the `items` as its parameter `over`, in this order.
    `inputs` are parameters that take the result of an earlier call (its key). `beside` asks that it be made in the flow's own
    process, which has nothing to do until it has the result. A call with `poll_s` is made again after so many seconds as
    long as it returns None, but not for longer than `limit_s` in all (None: no limit).
    """

    keys: tuple[bytes, ...]
    node: str = ""
    partition: str = ""
    arguments: tuple[Argument, ...] = ()
    inputs: tuple[tuple[str, bytes], ...] = ()
    over: str = ""
    items: tuple[Item, ...] = ()
    beside: bool = False
    wait: Wait | None = None
    poll_s: float | None = None
    limit_s: float | None = None

    def one(self, place: int) -> Call:
        """The call at this place, on its own."""
        if len(self.keys) == 1 and not self.over:
            return self
        arguments = (*self.arguments, argument_of(self.over, self.items[place])) if self.over else self.arguments
        return Call((self.keys[place],), self.node, self.partition, arguments, self.inputs, beside=self.beside, wait=self.wait)

    def refs(self) -> Iterator[Ref]:
        """The stored values that are handed over."""
        for argument in self.arguments:
            yield from argument.refs
        yield from (item for item in self.items if isinstance(item, Ref))


class Called(Struct, frozen=True, gc=False, array_like=True, tag="called", omit_defaults=True):
    """A flow under way makes calls, and goes on. The answers come later, in any order; a call that was made before is answered
    from what is recorded. `known` are calls whose outcome it has seen itself, since they were made beside it."""

    run: str
    step: int
    token: int
    calls: tuple[Call, ...]
    known: tuple[bytes, ...] = ()


class Parked(Struct, frozen=True, gc=False, array_like=True, tag="parked", omit_defaults=True):
    """A flow gave its process back; it is entered again once one of these calls has its outcome. Ends the attempt."""

    run: str
    step: int
    token: int
    seconds: float
    keys: tuple[bytes, ...]
    log: LogSpan | None = None


class Image(Struct, frozen=True, gc=False, array_like=True, tag="image"):
    """A picture that a step told, stored like a value."""

    name: str
    kind: Literal["png", "jpeg", "svg"]
    kept: Ref


Fact = Metric | Progress | Table | Markdown | Image


class Noted(Struct, frozen=True, gc=False, array_like=True, tag="noted", omit_defaults=True):
    """An attempt under way told these facts, and goes on.

    A flow's body tells them again whenever it is entered again, so there each has its key (0: it may come again): what it says,
    and its number among equal ones. What the order said is on record is not sent again.
    """

    run: str
    step: int
    token: int
    facts: tuple[Fact, ...]
    keys: tuple[int, ...] = ()


class Answer(Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """The outcome of the call with this key. A value is inline or kept, as in `Done`.

    `waiting` is no outcome: it says at once that a wait is not over, so that the flow need not keep its process to find out.
    """

    key: bytes
    value: bytes | None = None
    kept: Ref | None = None
    outcome: Literal["succeeded", "failed", "skipped", "cancelled", "undone", "waiting"] = "succeeded"
    error: Error | None = None


class Answers(Struct, frozen=True, gc=False, array_like=True):
    """Outcomes of calls, for the attempt of the flow that made them."""

    run: str
    step: int
    token: int
    answers: Sequence[Answer]


Report = Begun | Done | Raised | Declined | Lost | Returned | Called | Noted | Parked
