"""Which values a parameter takes, as a JSON Schema: written from an annotation, read back without the user's classes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Union
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType, defstruct, field
from msgspec import inspect as kinds

Schema = dict[str, Any] | bool
"""A JSON Schema without references; True takes any plain data, False none: the type can be written by code alone."""

_PLAIN: dict[type[kinds.Type], Schema] = {
    kinds.AnyType: True, kinds.RawType: True, kinds.NoneType: {"type": "null"}, kinds.BoolType: {"type": "boolean"},
    kinds.IntType: {"type": "integer"}, kinds.FloatType: {"type": "number"}, kinds.StrType: {"type": "string"},
    kinds.BytesType: {"type": "string", "contentEncoding": "base64"},
    kinds.ByteArrayType: {"type": "string", "contentEncoding": "base64"},
    kinds.DateTimeType: {"type": "string", "format": "date-time"}, kinds.DateType: {"type": "string", "format": "date"},
    kinds.TimeType: {"type": "string", "format": "time"}, kinds.TimeDeltaType: {"type": "string", "format": "duration"},
    kinds.UUIDType: {"type": "string", "format": "uuid"}, kinds.DecimalType: {"type": "string", "format": "decimal"},
}  # fmt: skip
_BOUNDS = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf",
    "pattern": "pattern",
}  # fmt: skip
_LENGTHS = {"object": "Properties", "array": "Items", "string": "Length"}
_ARRAYS = (kinds.ListType, kinds.SetType, kinds.FrozenSetType, kinds.VarTupleType, kinds.CollectionType)
_OBJECTS = (kinds.StructType, kinds.DataclassType, kinds.TypedDictType)
_FORMATS = {
    "date-time": datetime, "date": date, "time": time, "duration": timedelta, "uuid": UUID, "decimal": Decimal,
}  # fmt: skip
_PATH = {"type": "string", "format": "path"}
_SCALARS = {"null": None, "boolean": bool, "integer": int, "number": float, "string": str}


def schema_of(annotation: Any) -> Schema:
    """What values this annotation takes."""
    try:
        return _schema(kinds.type_info(annotation), ())
    except (TypeError, NameError):  # nothing that msgspec knows
        return False


def _schema(kind: kinds.Type, above: tuple[type, ...]) -> Schema:
    if isinstance(kind, kinds.Metadata):
        return _schema(kind.type, above)
    if isinstance(kind, kinds.EnumType):
        return {"enum": [each.value for each in kind.cls]}
    if isinstance(kind, kinds.LiteralType):
        return {"enum": sorted(kind.values, key=repr)}
    if isinstance(kind, kinds.UnionType):
        found = [_schema(each, above) for each in kind.types]
        return True if True in found else {"anyOf": [each for each in found if each is not False]}
    if isinstance(kind, _OBJECTS):
        return _object(kind, above)
    if isinstance(kind, kinds.CustomType):
        return dict(_PATH) if _is_path(kind.cls) else False
    plain = _PLAIN.get(type(kind)) if type(kind) in _PLAIN else _gathering(kind, above)
    return plain | _bounds(kind, plain["type"]) if isinstance(plain, dict) else bool(plain)


def _is_path(cls: Any) -> bool:
    return any((each.__module__.partition(".")[0], each.__name__) == ("pathlib", "PurePath") for each in cls.__mro__)


def takes_path(schema: Schema) -> bool:
    """Whether a text that is given, or each of several, is a path."""
    if not isinstance(schema, dict):
        return False
    return schema == _PATH or takes_path(schema.get("items", False)) or any(map(takes_path, schema.get("anyOf", ())))


def _gathering(kind: kinds.Type, above: tuple[type, ...]) -> Schema:
    """A list, tuple or dict; False for what is no data at all."""
    if isinstance(kind, _ARRAYS):
        items = _schema(kind.item_type, above)
        return False if items is False else {"type": "array", "items": items}
    if isinstance(kind, kinds.TupleType):
        return {"type": "array", "prefixItems": [_schema(each, above) for each in kind.item_types]}
    if isinstance(kind, kinds.DictType):
        keys, values = _schema(kind.key_type, above), _schema(kind.value_type, above)
        named = {} if keys in (True, {"type": "string"}) else {"propertyNames": keys}
        return False if values is False else {"type": "object", "additionalProperties": values, **named}
    return {"type": "array"} if isinstance(kind, kinds.NamedTupleType) else False


def _bounds(kind: kinds.Type, type: str) -> dict[str, Any]:
    told = {word: getattr(kind, name, None) for name, word in _BOUNDS.items()}
    if type in _LENGTHS:
        told |= {f"{side}{_LENGTHS[type]}": getattr(kind, f"{side}_length", None) for side in ("min", "max")}
    return {word: value for word, value in told.items() if value is not None}


def _object(kind: Any, above: tuple[type, ...]) -> Schema:
    """A record by its fields; one that contains itself is any data there."""
    if kind.cls in above or getattr(kind, "array_like", False):
        return True
    properties: dict[str, Any] = {}
    tag = getattr(kind, "tag", None)
    if tag is not None:
        properties[kind.tag_field] = {"const": tag}
    for each in kind.fields:
        found = _schema(each.type, (*above, kind.cls))
        default = _default(each)
        properties[each.encode_name] = found if default is UNSET or found is False else {**_as_dict(found), "default": default}
    required = [each.encode_name for each in kind.fields if each.required]
    closed = {"additionalProperties": False} if getattr(kind, "forbid_unknown_fields", False) else {}
    return {"type": "object", "title": kind.cls.__name__, "properties": properties, "required": required, **closed}


def _as_dict(schema: Schema) -> dict[str, Any]:
    return schema if isinstance(schema, dict) else {}


def _default(each: Any) -> Any:
    """A field's default as data; UNSET where it has none, or none that is data."""
    if each.required:
        return UNSET
    if each.default_factory in (list, dict):
        return each.default_factory()
    try:
        return UNSET if each.default in (msgspec.NODEFAULT, UNSET) else msgspec.to_builtins(each.default)
    except (TypeError, ValueError):
        return UNSET


# -- and back --


def kind_of(schema: Schema) -> Any:
    """The type that converts and judges what the schema describes; `Any` for what it leaves open."""
    try:
        kind = _kind(schema)
        msgspec.json.Decoder(kind)  # finds unions that msgspec cannot tell apart
        return kind
    except TypeError:
        return Any


def _kind(schema: Any) -> Any:
    if not isinstance(schema, Mapping) or not schema:
        return Any
    if "enum" in schema:
        plain = all(isinstance(each, str | int | None) and not isinstance(each, bool) for each in schema["enum"])
        return Literal[tuple(schema["enum"])] if plain and schema["enum"] else Any
    if "anyOf" in schema:
        return Union[tuple(map(_kind, schema["anyOf"]))] if schema["anyOf"] else Any  # noqa: UP007 - made at run time
    type = schema.get("type")
    if type == "object":
        return _bounded(_record(schema) if "properties" in schema else _table(schema), schema, type)
    if type == "array":
        return _bounded(_list(schema), schema, type)
    if type == "string" and ("format" in schema or "contentEncoding" in schema):
        return bytes if "contentEncoding" in schema else _FORMATS.get(schema["format"], str)
    return _bounded(_SCALARS[type], schema, type) if type in _SCALARS else Any


def _table(schema: Mapping[str, Any]) -> Any:
    keys, values = schema.get("propertyNames"), schema.get("additionalProperties", True)
    return dict[str if keys is None else _kind(keys), _kind(values)]  # type: ignore[misc]


def _list(schema: Mapping[str, Any]) -> Any:
    if "prefixItems" in schema:
        return tuple[tuple(map(_kind, schema["prefixItems"]))]  # type: ignore[misc]
    return list[_kind(schema.get("items"))]  # type: ignore[misc]


def _record(schema: Mapping[str, Any]) -> Any:
    fields: list[Any] = []
    tag: dict[str, Any] = {}
    for number, (name, each) in enumerate(schema["properties"].items()):
        kind, plain = _kind(each), each if isinstance(each, Mapping) else {}
        if "const" in plain:
            tag = {"tag": plain["const"], "tag_field": name}
        elif name in schema["required"]:
            fields.append((f"f{number}", kind, field(name=name)))
        elif isinstance(plain.get("default"), list | dict):
            fields.append((f"f{number}", kind, field(name=name, default_factory=lambda value=plain["default"]: value)))  # type: ignore[misc]
        elif "default" in plain:
            fields.append((f"f{number}", kind, field(name=name, default=plain["default"])))
        else:
            fields.append((f"f{number}", kind | UnsetType, field(name=name, default=UNSET)))
    closed = schema.get("additionalProperties") is False
    return defstruct(schema.get("title", "record"), fields, forbid_unknown_fields=closed, kw_only=True, **tag)


def _bounded(kind: Any, schema: Mapping[str, Any], type: str) -> Any:
    told = {name: schema[word] for name, word in _BOUNDS.items() if word in schema}
    if type in _LENGTHS:
        told |= {f"{side}_length": schema[word] for side in ("min", "max") if (word := f"{side}{_LENGTHS[type]}") in schema}
    return Annotated[kind, Meta(**told)] if told else kind
