"""The app: every route behind the gate, each with the action that it takes."""

from __future__ import annotations

import logging
from typing import Any

from litestar import Litestar, Response, Router
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig

from legato.service.access import NEEDED, ROLES, Action, Actor
from legato.surfaces.http import alone, backfills, changing, entering, hooks, looking, mending, metrics, pages, runs, streaming
from legato.surfaces.http.gate import API, MOST_BODY, Gate
from legato.surfaces.http.problems import answer_problem
from legato.surfaces.http.site import ACTOR, Site
from legato.surfaces.shape import encode
from legato.terms.errors import Forbidden

VERSION = "1"
BELOW_API: list[Any] = [
    *entering.ROUTES, *looking.ROUTES, *runs.ROUTES, *backfills.ROUTES, *alone.ROUTES, *changing.ROUTES, *mending.ROUTES,
    *streaming.ROUTES,
]  # fmt: skip
BESIDE_API: list[Any] = [*hooks.ROUTES, *metrics.ROUTES, *pages.ROUTES]

log = logging.getLogger("legato.http")


class Shaped(Response[Any]):
    """An answer in the one shape that the command line prints too."""

    def render(self, content: Any, media_type: str, enc_hook: Any = None) -> bytes:
        """The body."""
        return content if isinstance(content, bytes) else encode(content)


def build_app(site: Site) -> Gate:
    """The gate, with the app behind it."""
    return Gate(build_routes(site), site)  # type: ignore[arg-type]  # ASGI, in other words


def build_routes(site: Site | None) -> Litestar:
    """The app alone: its routes and its schema."""
    below, beside = (
        Router(path, route_handlers=handlers, guards=[require_role], response_class=Shaped)
        for path, handlers in ((API, BELOW_API), ("/", BESIDE_API))
    )
    return Litestar(
        [below, beside], state=State({"site": site}),
        openapi_config=OpenAPIConfig("Legato", VERSION, render_plugins=[], path="/-"),
        exception_handlers={Exception: _answer}, request_max_body_size=MOST_BODY, logging_config=None, debug=False,
    )  # fmt: skip


def require_role(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse who has the role for a route in no domain at all; in which one it counts, the route itself asks."""
    if handler.opt.get("open"):
        return
    actor: Actor = connection.scope[ACTOR]  # type: ignore[literal-required]
    action: Action = handler.opt["action"]
    best = max((ROLES.index(role) for role in actor.roles.values()), default=-1)
    if best < ROLES.index(NEEDED[action]):
        raise Forbidden(
            "access-denied", f"{actor.name} may not {action} anything", why=f"it takes the role {NEEDED[action]}",
            next="ask an admin: legato users",
        )  # fmt: skip


def _answer(request: Any, error: Exception) -> Response[bytes]:
    response = answer_problem(request, error)
    if response.status_code == 500:
        log.error("%s %s", request.method, request.scope["path"], exc_info=error)
    return response
