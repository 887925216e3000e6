"""Questions to the published versions, in SQL: every asset is a view over the files that readers see now."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from legato.ports.store import Head, Store
from legato.service.workspace import Workspace
from legato.terms.errors import LegatoError, NotFound, UsageError

if TYPE_CHECKING:
    import duckdb

_WORD = re.compile(r'"([^"]+)"|([A-Za-z_][A-Za-z0-9_./]*)')
_TABLE = "parquet"


class Answer(Struct, frozen=True):
    """The rows of an answer; `rows_left` says that there are more than were asked for."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    rows_left: bool = False


def query(workspace: Workspace, store: Store, sql: str, *, limit: int | None = None) -> Answer:
    """Answer one SQL statement over the assets that it names. What is not a table is a view of (partition, value)."""
    try:
        import duckdb
    except ImportError:
        raise LegatoError(
            "extra-missing", "queries need DuckDB, which is not installed", next="pip install 'legato[tables]'"
        ) from None
    if not sql.strip():
        raise UsageError("query", "there is no SQL to answer", next='legato query "select count(*) from ASSET"')
    named = _named(workspace, sql)
    heads = store.heads(named)
    empty = [asset for asset in named if not heads[asset]]
    with duckdb.connect() as db:
        for asset in named:
            if heads[asset]:
                _make_view(workspace, db, asset, heads[asset])
        try:
            result = db.execute(sql)
            rows = result.fetchall() if limit is None else result.fetchmany(limit + 1)
        except duckdb.Error as error:
            raise _refusal(error, empty, workspace) from None
        description = result.description or []
    cut = limit is not None and len(rows) > limit
    return Answer(
        tuple(column[0] for column in description), tuple(str(column[1]) for column in description),
        rows[:limit] if cut else rows, cut,
    )  # fmt: skip


def _named(workspace: Workspace, sql: str) -> list[str]:
    """The assets whose names occur in the statement; names are not case sensitive in SQL."""
    known = {
        asset.lower(): asset
        for node in workspace.project.nodes.values() if node.kind == "asset" for asset in node.outputs
    }  # fmt: skip
    words = {(quoted or bare).lower() for quoted, bare in _WORD.findall(sql)}
    return sorted(known[word] for word in words if word in known)


def _make_view(workspace: Workspace, db: duckdb.DuckDBPyConnection, asset: str, heads: Mapping[str, Head]) -> None:
    name = '"' + asset.replace('"', '""') + '"'
    ordered = [heads[partition] for partition in sorted(heads)]
    if all(head.ref.format == _TABLE for head in ordered):
        files = [_file(workspace, head) for head in ordered]
        db.read_parquet(files, union_by_name=True).create_view(asset if '"' not in asset else name)
        return
    db.execute(f"create table {name} (partition varchar, value varchar)")
    db.executemany(f"insert into {name} values (?, ?)", [(head.partition, _text(workspace, head)) for head in ordered])


def _file(workspace: Workspace, head: Head) -> str:
    return str(workspace.storages[head.ref.storage].load((head.ref,), Path))


def _text(workspace: Workspace, head: Head) -> str:
    """A value that is no table, as text; where it is in bytes or pickled, its file's path."""
    path = Path(_file(workspace, head))
    return path.read_text() if head.ref.format in ("text", "json") else str(path)


def _refusal(error: Exception, empty: list[str], workspace: Workspace) -> LegatoError:
    message = str(error).strip()
    gone = next((asset for asset in empty if asset.lower() in message.lower()), None)
    if gone is not None:
        return NotFound("query-empty", f"{gone} has no published version yet", next=f"legato run +{gone}")
    return UsageError("query", "DuckDB cannot answer this", why=message, next="legato list")
