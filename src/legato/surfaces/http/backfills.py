"""Routes of backfills: what one would take, what there are, how far each is; and asking for one."""

from __future__ import annotations

from typing import Annotated

from litestar import post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from legato.plan.records import Order
from legato.service import asks
from legato.service.backfilling import BackfillLine, Preview, describe_backfill, foresee_backfill, list_backfills
from legato.service.folding import Folder
from legato.service.planning import Planner
from legato.service.plans import plan_request
from legato.service.request import Filling
from legato.service.request import Request as Wanted
from legato.surfaces.http.looking import Asking, Limit, Words, looking
from legato.surfaces.http.paging import fill_page
from legato.surfaces.http.runs import RunId
from legato.surfaces.http.site import entered

Moment = Annotated[str, Meta(max_length=40)]


class BackfillAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"begin": "from", "end": "to"}):
    """What to fill: a selection, from when to when (both included), which partitions first, how many at once, whether it takes
    turns with other work, and whether what is fresh is made again. The same `key` again gives the same run."""

    selection: Annotated[str, Meta(max_length=2_000)] = ""
    begin: Moment = ""
    end: Moment = ""
    order: Order = "oldest"
    at_once: Annotated[int, Meta(ge=1, le=1 << 20)] | None = None
    urgent: bool = False
    again: bool = False
    key: Annotated[str, Meta(max_length=100)] = ""

    @property
    def filling(self) -> Filling:
        """What makes it a backfill."""
        return Filling(begin=self.begin, end=self.end, order=self.order, at_once=self.at_once, urgent=self.urgent)


class BackfillPage(Struct, frozen=True, kw_only=True):
    """Backfills, newest first; `older` is the run to ask for the next page with, empty if there is none. A page may be short, or
    empty, and have a next one, as with runs."""

    backfills: list[BackfillLine]
    older: str


@looking("/backfills")
def backfills(request: Asking, limit: Limit = 50, before: Words = "") -> BackfillPage:
    """Backfills, newest first, with how far each is."""
    with entered(request) as inside:

        def read(size: int, behind: str | None) -> list[BackfillLine]:
            return list_backfills(inside.workspace, inside.store, limit=size, before=behind)

        found, older = fill_page(read, inside.may_read, before=before, limit=limit)
        return BackfillPage(backfills=found, older=older)


@looking("/backfills/{run:str}")
def backfill(request: Asking, run: RunId) -> BackfillLine:
    """How far a backfill is: requested = done + failed + cancelled + pending."""
    with entered(request) as inside:
        return describe_backfill(inside.workspace, inside.store, inside.run(run))


@post("/backfills/preview", sync_to_thread=True, status_code=200, opt={"action": "read"})
def preview(request: Asking, data: JSONBody[BackfillAsked]) -> Preview:
    """What a backfill would make, how long it takes and how much it is. Nothing is changed."""
    with entered(request) as inside:
        planner = Planner(inside.workspace, inside.store)
        plan = plan_request(planner, Wanted(data.selection, data.again, backfill=data.filling))
        for name in {step.node for step in plan.steps}:
            inside.node(name)
        return foresee_backfill(inside.workspace, inside.store, Folder(inside.workspace.project, planner.extents), plan)


@post("/backfills", sync_to_thread=True, status_code=202, opt={"action": "submit"})
def fill(request: Asking, data: JSONBody[BackfillAsked]) -> asks.Submitted:
    """Backfill a selection. The run is recorded when this is answered."""
    with entered(request) as inside:
        for name in Planner(inside.workspace, inside.store).select(data.selection):
            inside.node(name, "submit")
        wanted = Wanted(data.selection, data.again, backfill=data.filling)
        question = asks.SubmitRun(request=wanted, key=data.key, actor=inside.actor.name)
        return inside.ask(question, asks.Submitted)


ROUTES = [backfills, backfill, preview, fill]
