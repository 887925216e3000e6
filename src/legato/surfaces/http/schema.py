"""The schema of the API, in OpenAPI 3.1: what Litestar makes of the routes, and what it cannot know."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, get_args

import msgspec
from litestar import Litestar
from litestar.routes import HTTPRoute

from legato.surfaces.shape import instants_of


@lru_cache(maxsize=2)
def schema_of(app: Litestar) -> dict[str, Any]:
    """The OpenAPI schema, with what Litestar cannot know: instants are times, refusals are problems."""
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(app.openapi_schema.to_schema(), enc_hook=str))
    components = made.setdefault("components", {}).setdefault("schemas", {})
    for record in _records(app):
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


def _records(app: Litestar) -> set[type[msgspec.Struct]]:
    """Every record that a route gives, with those in it."""
    found: set[type[msgspec.Struct]] = set()
    handlers = (each for route in app.routes if isinstance(route, HTTPRoute) for each in route.route_handlers)
    waiting: list[Any] = [handler.parsed_return_field.annotation for handler in handlers]
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
