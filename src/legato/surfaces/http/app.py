"""The app: every route behind the gate, each with the action that it takes; and its schema."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any, get_args

import msgspec
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
from legato.surfaces.shape import encode, instants_of
from legato.terms.errors import Forbidden

VERSION = "1"
BELOW_API: list[Any] = [
    *entering.ROUTES, *looking.ROUTES, *runs.ROUTES, *backfills.ROUTES, *alone.ROUTES, *changing.ROUTES, *mending.ROUTES,
    *streaming.ROUTES,
]  # fmt: skip
BESIDE_API: list[Any] = [*hooks.ROUTES, *metrics.ROUTES, *pages.ROUTES]
HANDLERS = [*BELOW_API, *BESIDE_API]

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


# -- the schema --


@lru_cache(maxsize=2)
def schema_of(app: Litestar) -> dict[str, Any]:
    """The OpenAPI schema, with what Litestar cannot know: instants are times, refusals are problems."""
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(app.openapi_schema.to_schema(), enc_hook=str))
    components = made.setdefault("components", {}).setdefault("schemas", {})
    for record in _records():
        for key, each in components.items():  # of two records of one name, each has its module's before it
            if key.split("_")[-1] == record.__name__ and each.get("properties", {}).keys() == set(record.__struct_fields__):
                _mend(each["properties"], instants_of(record))
    components["Problem"] = _PROBLEM
    refusal = {
        "description": "A problem",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for methods in made["paths"].values():
        for operation in methods.values():
            operation["responses"] = {k: v for k, v in operation["responses"].items() if k.startswith("2")} | {"default": refusal}
    made["security"] = [{"token": []}, {"session": []}]
    made["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"}, "session": {"type": "apiKey", "in": "cookie", "name": "legato_session"},
    }  # fmt: skip
    return {**made, "components": _settle_numbers(made["components"])}


def _records() -> set[type[msgspec.Struct]]:
    """Every record that a route gives, with those in it."""
    found: set[type[msgspec.Struct]] = set()
    waiting: list[Any] = [handler.parsed_return_field.annotation for handler in HANDLERS]
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
            found.add(kind)
            waiting += [each.type for each in msgspec.structs.fields(kind)]
    return found


def _settle_numbers(part: Any) -> Any:
    """The schema with a whole number or any as what it is: a number. `oneOf` would have it be one of the two alone."""
    if isinstance(part, list):
        return [_settle_numbers(each) for each in part]
    if not isinstance(part, dict):
        return part
    made = {key: _settle_numbers(each) for key, each in part.items()}
    if {"type": "number"} in made.get("oneOf", ()):
        left = [each for each in made["oneOf"] if each != {"type": "integer"}]
        rest = {key: each for key, each in made.items() if key != "oneOf"}
        return {**rest, "oneOf": left} if len(left) > 1 else {**rest, **left[0]}
    return made


def _mend(properties: dict[str, Any], instants: frozenset[str]) -> None:
    for name in instants:
        optional = "oneOf" in properties[name]
        time = {"type": "string", "format": "date-time"}
        properties[name] = {"oneOf": [time, {"type": "null"}]} if optional else time


_PROBLEM = {
    "type": "object", "required": ["type", "title", "status", "detail", "code", "what", "where", "why", "next", "faults"],
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"},
        "code": {"type": "string"}, "what": {"type": "string"}, "where": {"type": "string"}, "why": {"type": "string"},
        "next": {"type": "string"}, "faults": {"type": "array", "items": {"type": "object"}},
    },
}  # fmt: skip
