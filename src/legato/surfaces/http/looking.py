"""Routes that look: project, catalogue, lineage, plans, versions, troubles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter
from msgspec import Struct

from legato.ports.store import Trouble
from legato.service.access import ROLES, Action
from legato.service.asking import Described, Listed, describe_node, list_nodes
from legato.service.finding import find_run
from legato.service.health import Health, health
from legato.service.history import History, list_versions
from legato.service.keys import Keys, KeySet, count_set, list_keys, sets_of
from legato.service.planning import Planner
from legato.service.plans import plan_request
from legato.service.request import Request as Wanted
from legato.service.series import SeriesPage, read_series
from legato.service.tracing import Lineage, trace
from legato.service.why import Overview, Why, explain_asset
from legato.surfaces.http.site import actor_of, entered
from legato.surfaces.shape import plan_record
from legato.terms.key import show, split

T = TypeVar("T")

Asking = Request[Any, Any, Any]
Limit = Annotated[int, QueryParameter(ge=1, le=1_000)]
Number = Annotated[int, QueryParameter(ge=0, le=(1 << 62))]
Flag = Annotated[bool, QueryParameter()]
Words = Annotated[str, QueryParameter(max_length=2_000)]


def page_of(found: Iterable[T], key: Callable[[T], Any], after: Any, limit: int) -> list[T]:
    """Those in the order of a key that come after one, so many at most. Fewer than that: there are no more."""
    return sorted((each for each in found if not after or key(each) > after), key=key)[:limit]


def looking(path: str, action: Action = "read") -> Callable[[Any], HTTPRouteHandler]:
    """A route that is read: in a thread, since the store is read there."""
    return get(path, sync_to_thread=True, opt={"action": action})


class ProjectShown(Struct, frozen=True, kw_only=True):
    """The project that is served, and the roles of whoever asks in its domains.

    `faults` is what is wrong with its files as they are now; where there are any, the version before them is in force.
    """

    name: str
    fingerprint: str
    nodes: int
    domains: tuple[str, ...]
    actor: str
    roles: dict[str, str]
    faults: tuple[str, ...] = ()


class PlanAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to plan: a selection in words, whether what is fresh runs as well, and a flow's parameters.

    `start` is a step and a run that is repeated from there; `pins` are steps whose results are taken from a run, `STEP=RUN`.
    """

    selection: str = ""
    force: bool = False
    params: dict[str, Any] = {}
    start: tuple[str, str] | None = None
    pins: tuple[str, ...] = ()

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs whose results it takes."""
        return tuple(filter(None, (self.start[1] if self.start else "", *(pin.rpartition("=")[2] for pin in self.pins))))


class PlanStep(Struct, frozen=True, kw_only=True):
    """One step of a plan."""

    node: str
    partition: str
    action: str
    reason: str
    detail: str


class PlanEstimate(Struct, frozen=True, kw_only=True):
    """How long the steps take, as far as their history is known."""

    work_seconds: float
    steps_known: int
    steps_unknown: int


class PlanReused(Struct, frozen=True, kw_only=True):
    """What a plan takes of an earlier run: whether it was pinned, who answered it, and what changed since (code, inputs)."""

    step: str
    node: str
    partition: str
    run: str
    pinned: bool
    answered_by: str
    changed: str


class PlanShown(Struct, frozen=True, kw_only=True):
    """A plan: what runs, what is skipped, and why; and what it reuses. Sources are as a run saw them last."""

    request: str
    run: int
    skip: int
    estimate: PlanEstimate
    steps: list[PlanStep]
    reused: list[PlanReused]
    notes: tuple[str, ...]


@looking("/project")
def project(request: Asking) -> ProjectShown:
    """The project, and who I am in it."""
    with entered(request) as inside:
        known = inside.workspace.project
        domains = tuple(sorted({node.domain for node in known.nodes.values() if inside.may_read(node.domain)}))
        return ProjectShown(
            name=known.name, fingerprint=known.fingerprint, nodes=len(known.nodes), domains=domains, actor=inside.actor.name,
            roles={domain: role for domain in domains if (role := inside.actor.role_in(domain)) in ROLES},
            faults=tuple(map(str, inside.workspace.faults)),
        )  # fmt: skip


@looking("/status")
def status(request: Asking) -> Health:
    """How the project is as a whole. For those who may read all of it."""
    with entered(request) as inside:
        inside.require("read", "project", inside.workspace.project.name, _all_domains(inside.workspace.project.nodes.values()))
        return health(inside.workspace, inside.store)


@looking("/catalogue")
def catalogue(request: Asking, select: Words = "", limit: Limit = 1_000, after: Words = "") -> list[Listed]:
    """Assets, tasks, sources and flows that a selection names, with their state; by name, from behind one on."""
    with entered(request) as inside:
        seen = (each for each in list_nodes(inside.workspace, inside.store, select) if inside.may_read_node(each.name))
        return page_of(seen, lambda each: each.name, after, limit)


@looking("/node")
def node(request: Asking, name: Words) -> Described:
    """All there is to know of one asset, task, source or flow."""
    with entered(request) as inside:
        inside.node(name)
        return describe_node(inside.workspace, inside.store, name)


@looking("/lineage")
def lineage(request: Asking, name: Words = "", up: Limit = 1_000, down: Limit = 1_000) -> Lineage:
    """What something is made from, and what is made from it; without a name, the whole graph."""
    with entered(request) as inside:
        if name:
            inside.node(name)
        found = trace(inside.workspace, name, up=up, down=down)
        seen = {each.name for each in found.nodes if inside.may_read(each.domain)}
        return Lineage(
            nodes=[each for each in found.nodes if each.name in seen],
            edges=[edge for edge in found.edges if edge.up in seen and edge.down in seen],
        )


@looking("/why")
def why(request: Asking, key: Words) -> Why | Overview:
    """Why an asset, or one of its partitions, is as it is."""
    with entered(request) as inside:
        inside.node(key)
        return explain_asset(inside.workspace, inside.store, key)


@post("/plan", sync_to_thread=True, status_code=200, opt={"action": "read"})
def plan(request: Asking, data: JSONBody[PlanAsked]) -> PlanShown:
    """What would run, and why. Nothing is changed."""
    with entered(request) as inside:
        for name in data.runs:
            inside.run(find_run(inside.store, name).id)
        wanted = Wanted(data.selection, data.force, data.params, data.start, data.pins)
        made = plan_request(Planner(inside.workspace, inside.store), wanted)
        for name in {step.node for step in made.steps}:
            inside.node(name)
        return plan_record(made, inside.store.timings())  # type: ignore[return-value]  # the same, not yet a record


@looking("/versions")
def versions(request: Asking, of: Words, limit: Limit = 20, before: Number = 0) -> History:
    """The versions of an asset or of one of its partitions, newest first."""
    with entered(request) as inside:
        inside.node(of)
        return list_versions(inside.workspace, inside.store, of, limit=limit, before=before)


@looking("/series")
def series(request: Asking, of: Words, metric: Words = "", limit: Limit = 50, before: Number = 0) -> SeriesPage:
    """What the attempts that made an asset told, version by version: its metrics over time, or one of them."""
    with entered(request) as inside:
        inside.node(of)
        return read_series(inside.store, of, metric=metric, limit=limit, before=before)


@looking("/troubles")
def troubles(request: Asking, limit: Limit = 1_000, after: Words = "") -> list[Trouble]:
    """Why asset partitions are not as they should be: open troubles, one each; by `ASSET@PARTITION`, from behind one on."""
    with entered(request) as inside:
        seen = (each for each in inside.store.troubles() if inside.may_read_node(each.asset))
        return page_of(seen, lambda each: split(show(each.asset, each.partition)), after and split(after), limit)


@looking("/keys")
def key_sets(request: Asking, limit: Limit = 1_000, after: Words = "") -> list[KeySet]:
    """The dynamic sets of partition keys; by name, from behind one on."""
    with entered(request) as inside:
        seen = ((name, cuts) for name, cuts in sets_of(inside.workspace).items() if all(map(inside.may_read_node, cuts)))
        return [count_set(inside.store, *each) for each in page_of(seen, lambda each: each[0], after, limit)]


@looking("/key-set")
def key_set(request: Asking, name: Words, limit: Limit = 1_000, start: Number = 0) -> Keys:
    """The keys of one dynamic set, oldest first; from a place on, counted from 0."""
    with entered(request) as inside:
        found = list_keys(inside.workspace, inside.store, name, start, limit)
        for cut in sets_of(inside.workspace)[name]:
            inside.node(cut)
        return found


@looking("/me")
def me(request: Asking) -> dict[str, str]:
    """My roles, by domain; under the empty name, everywhere."""
    return {str(domain): str(role) for domain, role in actor_of(request).roles.items()}


def _all_domains(nodes: Any) -> tuple[str, ...]:
    return tuple(sorted({node.domain for node in nodes}))


ROUTES = [project, status, catalogue, node, lineage, why, plan, versions, series, troubles, key_sets, key_set, me]
