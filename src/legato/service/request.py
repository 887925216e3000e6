"""What somebody asks for, in words and as a record."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from legato.plan.records import Order
from legato.service.params import in_words
from legato.service.shell import command


class Filling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"begin": "from", "end": "to"}):
    """What makes a request a backfill: of which time (both ends included; empty: no bound), which partitions go first, how many
    are made at once (None: as many as there are workers), and whether it is as urgent as other work, which else goes first."""

    begin: Annotated[str, Meta(max_length=40)] = ""
    end: Annotated[str, Meta(max_length=40)] = ""
    order: Order = "oldest"
    at_once: Annotated[int, Meta(ge=1, le=1 << 20)] | None = None
    urgent: bool = False

    def in_words(self, selection: str, *, again: bool) -> str:
        """The command that asks for it."""
        bounds = [f" --from {self.begin}" if self.begin else "", f" --to {self.end}" if self.end else ""]
        order = " --newest-first" if self.order == "newest" else ""
        most = f" --at-once {self.at_once}" if self.at_once is not None else ""
        more = (" --urgent" if self.urgent else "") + (" --again" if again else "")
        return f"backfill {selection}".rstrip() + "".join(bounds) + order + most + more


class Request(Struct, frozen=True):
    """What somebody asks for: a selection in words, whether to run what is fresh as well, and the parameters of a flow.

    A parameter is a value, or its text (of a list: its items' texts) as people write it. `start` is a step and a run that is
    repeated from there; `pins` are steps whose results are taken from a run, as in `STEP=RUN`. A `backfill` says of what time.
    """

    selection: str = ""
    force: bool = False
    params: dict[str, Any] = {}
    start: tuple[str, str] | None = None
    pins: tuple[str, ...] = ()
    backfill: Filling | None = None

    def __str__(self) -> str:
        if self.backfill is not None:
            return self.backfill.in_words(self.selection, again=self.force)
        return (self.selection or "everything") + (" --force" if self.force else "") + in_words(self.params)

    def asked_for(self, words: str) -> bool:
        """Whether a run of these words is what this asks for: the same selection, parameters and time. Of the runs that it takes
        results from, nothing is compared but that there are some: `last` was another one then."""
        base, *pins = words.rsplit(" --pin ", len(self.pins)) if self.pins else (words,)
        if len(pins) != len(self.pins):
            return False
        if self.start is not None:
            return f" {command('--from', self.start[0])} " in base
        return base == str(self) or self._is_in_other_order(base)

    def _is_in_other_order(self, words: str) -> bool:
        """Whether these are its words, with the parameters in another order: an object of JSON has none."""
        rest = words.removeprefix(str(replace(self, params={})))
        for each in sorted((in_words({name: value}) for name, value in self.params.items()), key=len, reverse=True):
            rest = rest.replace(each, "", 1)
        return not rest and len(words) == len(str(self))
