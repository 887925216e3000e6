"""What a parameter asks for, and how stored values become that: one value, one table of many, a dict or a list of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Protocol, get_args, get_origin

from legato.storages.annotations import allows_anything, options_of, word
from legato.storages.formats import BY_NAME, PATH, PICKLE, TABLE, Format
from legato.storages.tables import Source, key_of, read_tables
from legato.terms.attempt import Ref
from legato.terms.errors import LegatoError
from legato.terms.key import show

_EACH = "dict[str, T] (a value a partition) and list[T]"


class Shelf(Protocol):
    """What a storage offers here: the stored bytes of a ref, or the path of a copy on disk, both only if they are whole."""

    unpickle: bool

    def source(self, ref: Ref) -> Source:
        """Where the ref's bytes are, or the bytes."""
        ...

    def path(self, ref: Ref) -> Path:
        """A file or folder with the value, as it was stored."""
        ...

    def fault(self, ref: Ref, *, deep: bool = False) -> LegatoError | None:
        """What is wrong with the stored bytes; `deep` reads them all."""
        ...


def load(shelf: Shelf, refs: tuple[Ref, ...], kind: Any, many: bool) -> Any:
    """The value of the refs as `kind`, by the rules of the storage port."""
    if len(refs) == 1 and not many:
        return _one(shelf, refs[0], kind)
    options = options_of(kind)
    for option in options:
        shape, item = _shape(option)
        if shape is dict:
            return _by_partition(shelf, refs, item)
        if shape is list:
            return [_one(shelf, ref, item) for ref in refs]
    anything = allows_anything(kind)
    if all(ref.format == TABLE.name for ref in refs):
        if anything and refs:
            return _table(shelf, refs, Any)
        for option in options:
            if key_of(option):
                return _table(shelf, refs, option)
    if anything:
        return _by_partition(shelf, refs, Any)
    first = next((ref for ref in refs if ref.format != TABLE.name), None)
    why = "" if first is None else f"{show(first.asset, first.partition)} is stored as {first.format}, which cannot be joined"
    raise LegatoError(
        "storage-type",
        f"{len(refs)} stored values cannot become one {word(kind)}",
        why=why,
        next=f"ask for {_EACH}" + (f", or for one of {TABLE.kinds}" if first is None else ""),
    )


def _shape(option: Any) -> tuple[type | None, Any]:
    """Whether an annotation asks for a dict or a list of values, and of what kind."""
    origin, args = get_origin(option) or option, get_args(option)
    if origin in (dict, Mapping) and (not args or args[0] in (str, Any)):
        return dict, args[1] if args else Any
    if origin in (list, Sequence):
        return list, args[0] if args else Any
    return None, option


def _by_partition(shelf: Shelf, refs: tuple[Ref, ...], item: Any) -> dict[str, Any]:
    values = {ref.partition: _one(shelf, ref, item) for ref in refs}
    if len(values) < len(refs):
        raise LegatoError("storage-type", "two stored values of one partition cannot stand in one dict", next="ask for list[T]")
    return values


def _one(shelf: Shelf, ref: Ref, kind: Any) -> Any:
    options = options_of(kind)
    if Ref in options:
        return ref
    if any(isinstance(option, type) and issubclass(option, PurePath) for option in options):
        return shelf.path(ref)
    form = BY_NAME.get(ref.format)
    if form is None:
        raise LegatoError(
            "storage-type",
            f"{_named(ref)} is stored in the unknown format {ref.format!r}",
            next="install the Legato that wrote it",
        )
    if form is PATH and allows_anything(kind):
        return shelf.path(ref)
    if form is PICKLE and not shelf.unpickle:
        raise LegatoError(
            "storage-pickle",
            f"{_named(ref)} is stored as a pickle, which is read by workers alone",
            why="reading a pickle runs the code in it",
            next="use it in a task or asset, or return a table, text, bytes or plain data instead",
        )
    return _read(shelf, ref, form, kind)


def _read(shelf: Shelf, ref: Ref, form: Format, kind: Any) -> Any:
    source = shelf.source(ref)
    try:
        return form.read(source, kind)
    except Exception as error:  # every library has its own errors for bytes that it cannot read
        raise shelf.fault(ref, deep=True) or _refusal(ref, form, kind, error) from error


def _table(shelf: Shelf, refs: tuple[Ref, ...], kind: Any) -> Any:
    sources = [shelf.source(ref) for ref in refs]
    try:
        return read_tables(sources, kind)
    except Exception as error:
        broken = next((fault for ref in refs if (fault := shelf.fault(ref, deep=True))), None)
        if broken is not None:
            raise broken from error
        raise LegatoError(
            "storage-type",
            f"{len(refs)} stored tables cannot become one {word(kind)}",
            why=str(error),
            next=f"ask for {_EACH}",
        ) from error


def _refusal(ref: Ref, form: Format, kind: Any, error: Exception) -> LegatoError:
    return LegatoError(
        "storage-type",
        f"{_named(ref)} is stored as {form.name} and cannot be read as {word(kind)}",
        why=str(error) if str(error) else f"{form.name} holds {form.kinds}",
        next=f"ask for {form.kinds}, for pathlib.Path (the stored file), or leave the annotation out",
    )


def _named(ref: Ref) -> str:
    return show(ref.asset, ref.partition)
