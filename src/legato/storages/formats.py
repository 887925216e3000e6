"""In what form each value is kept: `FORMATS` is the whole table, tried from the top.

To add a format, add a record: `write` gives the body, or None for values it is not for; `read` gives back what a kind asks for.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legato.quality.schema import describe
from legato.storages import plain
from legato.storages.annotations import allows_anything, options_of
from legato.storages.tables import Body, Source, key_of, read_tables, write_table
from legato.terms.errors import LegatoError


class Refused(Exception):
    """A stored value cannot be had as the kind that was asked for; the text says why, or nothing where it is plain."""


@dataclass(frozen=True, slots=True)
class Format:
    """One way of keeping values: its name in a `Ref`, the suffix of its files, and the kinds that it can be read as."""

    name: str
    suffix: str
    write: Callable[[Any], Body | None]
    read: Callable[[Source, Any], Any]
    kinds: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value ready to be stored. `inner` is the name of the file or folder that stands below the version's own folder."""

    format: Format
    body: Body
    inner: str = ""


def encode(value: Any) -> Encoded:
    """The value in the first format that takes it; `LegatoError` (`value-type`) if none does."""
    for form in FORMATS:
        body = form.write(value)
        if body is not None:
            return Encoded(form, body, _inner_name(value) if form is PATH else "")
    raise AssertionError("the last format takes every value or raises")


def _write_text(value: Any) -> bytes | None:
    return value.encode("utf-8", "surrogatepass") if type(value) is str else None


def _read_text(source: Source, kind: Any) -> Any:
    return _as_kind(content_of(source).decode("utf-8", "surrogatepass"), kind)


def _write_bytes(value: Any) -> bytes | None:
    return value if type(value) is bytes else None


def _read_bytes(source: Source, kind: Any) -> Any:
    return _as_kind(content_of(source), kind)


def _read_plain(source: Source, kind: Any) -> Any:
    return _as_kind(plain.parse(content_of(source)), kind)


def _read_table(source: Source, kind: Any) -> Any:
    if allows_anything(kind):
        return read_tables([source], Any)
    option = next((each for each in options_of(kind) if key_of(each)), None)
    if option is None:
        raise Refused
    return read_tables([source], option)


def _write_path(value: Any) -> Body | None:
    """A function that copies the file or folder. It is never moved: it may be a source that somebody else keeps."""
    if not isinstance(value, Path):
        return None
    found = value.resolve()
    if not found.exists():
        raise _no_copy(value, "leads to nothing; a relative path starts at the working directory")
    return lambda target: _copy(found, target)


def _copy(source: Path, target: Path) -> None:
    """Copy a file or folder. Links are followed: a version must not change when what they point to does."""
    if source.is_dir():
        if target.resolve().is_relative_to(source.resolve()):
            raise _no_copy(source, "holds Legato's own storage")
        if source.is_symlink() and source.parent.resolve().is_relative_to(source.resolve()):
            raise _no_copy(source, "is a link to a folder that it stands in")
        target.mkdir()
        for entry in source.iterdir():
            _copy(entry, target / entry.name)
    elif source.is_file() and os.access(source, os.R_OK):
        shutil.copy(source, target)
    else:
        raise _no_copy(source, "is no file or folder that can be read")


def _no_copy(source: Path, why: str) -> LegatoError:
    return LegatoError(
        "value-type",
        "the returned path cannot be stored",
        where=str(source),
        why=f"it {why}",
        next="return the path of a file, or of a folder of its own, that is written and closed",
    )


def _inner_name(path: Path) -> str:
    """The name that a stored file keeps, so that its reader sees `report.md`; a plain one where its own could not be recorded."""
    name = path.resolve().name
    return name if name.isprintable() and 0 < len(name.encode()) <= 200 else "content"


def _read_path(source: Source, kind: Any) -> Any:
    raise Refused  # who asks for a path, or for anything, is given it without reading


def _write_pickle(value: Any) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except Exception as error:  # pickling runs the code of the value's class
        raise LegatoError(
            "value-type",
            f"{describe(value)} cannot be stored",
            why=f"it is no table, text, bytes, plain data or path, and pickle says: {error}",
            next="return a table (polars, pandas, Arrow, DuckDB), str, bytes, plain data (dict, list, numbers, dates, msgspec "
            "Structs), a pathlib.Path of a file or folder, or an object that pickle takes",
        ) from error


def _read_pickle(source: Source, kind: Any) -> Any:
    value = pickle.loads(content_of(source))
    options = options_of(kind)
    if not allows_anything(kind) and all(isinstance(each, type) for each in options) and not isinstance(value, options):
        raise Refused(f"it holds {describe(value)}")
    return value


def content_of(source: Source) -> bytes:
    """All bytes of a source."""
    return source if isinstance(source, bytes) else source.read_bytes()


def _as_kind(value: Any, kind: Any) -> Any:
    try:
        return plain.convert(value, kind)
    except (TypeError, ValueError) as error:  # msgspec's ValidationError is a ValueError
        raise Refused(str(error)) from error


TABLE = Format(
    "parquet", ".parquet", write_table, _read_table,
    "polars.DataFrame, polars.LazyFrame, pandas.DataFrame, pyarrow.Table, duckdb.DuckDBPyRelation",
)  # fmt: skip
PATH = Format("path", ".path", _write_path, _read_path, "pathlib.Path")
PICKLE = Format("pickle", ".pickle", _write_pickle, _read_pickle, "the class that was stored")
FORMATS: tuple[Format, ...] = (
    TABLE,
    Format("text", ".txt", _write_text, _read_text, "str"),
    Format("bytes", ".bin", _write_bytes, _read_bytes, "bytes"),
    Format(
        "json", ".json", plain.dump, _read_plain, "dict, list, numbers, msgspec Structs and other plain data, as it was stored"
    ),
    PATH,
    PICKLE,
)
BY_NAME = {form.name: form for form in FORMATS}
