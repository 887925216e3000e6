"""Reads functions' parameters; annotations that are text are resolved once for each module and text."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from msgspec import Struct

from legato.declare.partition import Partition

NOTHING = inspect.Parameter.empty
MANY = list[Partition]
"""What a function takes of which one call makes many partitions."""
MOST_TOGETHER = 256
"""How many partitions one call may make: as many as a worker is handed at once."""


class Parameter(Struct, frozen=True):
    """One parameter: its resolved annotation (`Any` where there is none) and default (`NOTHING` where there is none)."""

    name: str
    kind: Any
    default: Any

    @property
    def optional(self) -> bool:
        """Whether the function can do without it."""
        return self.default is not NOTHING


class Signatures:
    """Parameters and return types of functions. Trouble is told to `complain(code, what, hint)`, never raised."""

    def __init__(self) -> None:
        self._resolved: dict[tuple[int, str], Any] = {}

    def parameters(self, fn: Any, complain: Callable[[str, str, str], None]) -> list[Parameter]:
        """The parameters that are filled by name; `*args` and `**kwargs` stay empty."""
        if type(fn) is FunctionType and not fn.__dict__ and not fn.__code__.co_posonlyargcount:
            return self._plain(fn, complain)
        found = []
        for each in _signature(fn).parameters.values():
            if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
                continue
            if each.kind is each.POSITIONAL_ONLY:
                complain("parameter", f"parameter `{each.name}` cannot be given by name", "remove the `/`")
                continue
            kind = self._annotation(fn, each.annotation, f"parameter `{each.name}`", complain)
            found.append(Parameter(each.name, kind, each.default))
        return found

    def made(self, fn: Any, complain: Callable[[str, str, str], None]) -> Any:
        """The type that a resource's function makes: its return annotation, or what its iterator yields; None if unsaid."""
        kind = self._annotation(fn, _signature(fn).return_annotation, "the return value", complain)
        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            kind = (get_args(kind) or (None,))[0]
        return None if kind is Any else kind

    def _plain(self, fn: FunctionType, complain: Callable[[str, str, str], None]) -> list[Parameter]:
        """The parameters of a function that nothing wraps, ten times as fast as `inspect` finds them."""
        code, annotations = fn.__code__, fn.__annotations__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        defaults: dict[str, Any] = dict(fn.__kwdefaults__ or {})
        if fn.__defaults__:
            defaults.update(zip(names[code.co_argcount - len(fn.__defaults__) : code.co_argcount], fn.__defaults__, strict=True))
        found = []
        for name in names:
            written = annotations.get(name, NOTHING)
            kind = Any if written is NOTHING else self._annotation(fn, written, f"parameter `{name}`", complain)
            found.append(Parameter(name, kind, defaults.get(name, NOTHING)))
        return found

    def _annotation(self, fn: Any, written: Any, of: str, complain: Callable[[str, str, str], None]) -> Any:
        if written is NOTHING:
            return Any
        if isinstance(written, type) and get_origin(written) is None:
            return written
        names = getattr(inspect.unwrap(fn), "__globals__", {})
        key = (id(names), written) if isinstance(written, str) else None
        if key in self._resolved:
            return self._resolved[key]
        try:
            kind = get_type_hints(SimpleNamespace(__annotations__={"it": written}), names)["it"]
        except Exception as error:  # an annotation is the user's code: it may raise anything
            hint = "import its names at the top of the module, not only under `if TYPE_CHECKING`"
            complain("annotation", f"the annotation `{written}` of {of} cannot be resolved: {error}", hint)
            return Any
        if kind == MANY and len(numbers := _numbers(written, names)) == 1:
            kind = Annotated[MANY, numbers[0]]
        if key is not None:
            self._resolved[key] = kind
        return kind


def most_of(kind: Any) -> int:
    """How many partitions a parameter takes at once: one, or of a list of them so many; 0 where its number makes no sense."""
    if kind == MANY:
        return MOST_TOGETHER
    if get_origin(kind) is Annotated and get_args(kind)[0] == MANY:
        number = get_args(kind)[1]
        return number if 1 < number <= MOST_TOGETHER else 0
    return 1


def _numbers(written: Any, names: dict[str, Any]) -> list[int]:
    """What numbers an annotation says beside its type."""
    whole = get_type_hints(SimpleNamespace(__annotations__={"it": written}), names, include_extras=True)["it"]
    return [each for each in get_args(whole)[1:] if type(each) is int] if get_origin(whole) is Annotated else []


def _signature(fn: Any) -> inspect.Signature:
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):  # builtins that do not say
        return inspect.Signature()
