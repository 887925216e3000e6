"""The plan of whatever is asked for: a selection, a backfill, or what takes over results of earlier runs."""

from __future__ import annotations

from legato.plan.records import Backfill, Plan
from legato.service.params import arguments_of
from legato.service.planning import Planner
from legato.service.request import Filling, Request
from legato.terms.errors import UsageError


def plan_request(planner: Planner, request: Request) -> Plan:
    """The plan for a request."""
    if request.start is not None or request.pins:
        from legato.service.repeating import plan_again  # few plans need it

        return plan_again(planner, request)
    if request.backfill is not None:
        return _plan_backfill(planner, request, request.backfill)
    selection = planner.select(request.selection)
    return planner.make(selection, str(request), request.force, arguments_of(planner.workspace, selection, request.params))


def _plan_backfill(planner: Planner, request: Request, filling: Filling) -> Plan:
    """The plan of a backfill: what of the selection lies in its time, in its order, with its own limit."""
    from legato.plan.backfill import in_order, in_own_pool, within, without_edges  # nor this

    if request.params:
        raise UsageError("backfill-flow", "a backfill takes no parameters: only flows have some", next="legato run FLOW")
    workspace, extents = planner.workspace, planner.extents
    span = filling.begin, filling.end
    asked = within(workspace.project, extents, planner.select(request.selection), span)
    plan = planner.make(asked, str(request), request.force, {})
    selection = without_edges(workspace.project, extents, asked, span, plan)
    if selection != asked:
        plan = planner.make(selection, str(request), request.force, {})
    turns = in_order(plan, workspace.project, extents, filling.order)
    return in_own_pool(plan, Backfill(order=filling.order, turns=turns, at_once=filling.at_once, urgent=filling.urgent))
