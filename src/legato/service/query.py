"""Questions to the published versions, in SQL: every asset is a view over the files that readers see now.

The statement reads and nothing else: DuckDB works in memory, takes one SELECT, and may open files below the project's
storages alone (so the rows of a quarantined version can be looked at by its path). It fetches no extensions, sees no
variables of this process, and its settings are locked before the statement is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legato.declare.resolve import did_you_mean
from legato.ports.store import Head, Store
from legato.service.workspace import Workspace
from legato.terms.errors import Forbidden, LegatoError, NotFound, UsageError
from legato.terms.key import show

if TYPE_CHECKING:
    import duckdb

Row = tuple[Any, ...]

_WORD = re.compile(r'"([^"]+)"|([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)')
_UNKNOWN = re.compile(r"Table with name \"?(.+?)\"? does not exist")
_SHOW_TABLES = re.compile(r"\s*show\s+(all\s+)?tables\b", re.IGNORECASE)
_MOST_NAMED = 12
_PAGE = 1_000
_ZONED = "TIMESTAMP WITH TIME ZONE"


class Answer:
    """The rows of an answer, to be read once, as they come."""

    def __init__(self, columns: tuple[str, ...], types: tuple[str, ...], rows: Iterator[Row]) -> None:
        self.columns, self.types, self.rows = columns, types, rows


@contextmanager
def query(workspace: Workspace, store: Store | None, sql: str) -> Iterator[Answer]:
    """Answer one SELECT over the assets that it names. What is not a table is a view of (partition, value)."""
    try:
        import duckdb
    except ImportError:
        raise LegatoError(
            "extra-missing", "queries need DuckDB, which is not installed", next="pip install 'legato[tables]'"
        ) from None
    with duckdb.connect() as db:
        views = _Views(workspace, store, db)
        with _told(views):
            statement = _only_select(db, sql)
            views.make(statement)
            _shut(workspace, db)
            answer = _answer(db, statement, views)
        yield answer


@contextmanager
def _told(views: _Views) -> Iterator[None]:
    """Lets what DuckDB raises out in Legato's words, and an interrupt as what it is."""
    import duckdb

    try:
        yield
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except duckdb.Error as error:
        raise views.refusal(error) from None
    except RuntimeError as error:
        if "interrupted" in str(error).lower():
            raise KeyboardInterrupt from None
        raise


def _only_select(db: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The one statement of the text, if all it does is read."""
    import duckdb

    statements = db.extract_statements(sql)
    if not statements:
        raise UsageError("query", "there is no SQL to answer", next='legato query "select count(*) from ASSET"')
    if len(statements) > 1:
        raise UsageError("query", f"these are {len(statements)} statements, a query is one", next="ask them one by one")
    if statements[0].type == duckdb.StatementType.MULTI:
        raise UsageError(
            "query", "this statement amounts to several", why="a pivot first asks for its columns' values",
            next="name the values: pivot ASSET on COLUMN in ('a', 'b') using count(*)",
        )  # fmt: skip
    if _SHOW_TABLES.match(sql):
        raise UsageError("query", "the tables are the project's assets", next="legato list kind:asset")
    if statements[0].type != duckdb.StatementType.SELECT:
        kind = statements[0].type.name.lower()
        raise UsageError(
            "query-writes", f"a query only reads, and this is a statement of kind {kind!r}",
            why="published versions are changed by runs and by rollback alone", next="ask with: select … from ASSET",
        )  # fmt: skip
    return statements[0].query.strip().rstrip(";")


def _shut(workspace: Workspace, db: duckdb.DuckDBPyConnection) -> None:
    """Close every way out of DuckDB but the folders of the project's storages, for good."""
    roots = [str(root) for storage in workspace.storages.values() if (root := getattr(storage, "root", None)) is not None]
    db.execute(f"set allowed_directories = [{', '.join(map(literal, roots))}]")
    db.execute(f"set temp_directory = {literal(str(workspace.state / 'query.tmp'))}")
    for setting in (
        "autoinstall_known_extensions",
        "autoload_known_extensions",
        "python_enable_replacements",
        "enable_external_access",
    ):
        db.execute(f"set {setting} = false")
    db.execute("set TimeZone = 'UTC'")
    db.execute("set lock_configuration = true")


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as SQL writes it where it may hold anything."""
    return '"' + name.replace('"', '""') + '"'


class _Views:
    """The assets that a statement names, as views. What cannot be one is told only where DuckDB misses it."""

    def __init__(self, workspace: Workspace, store: Store | None, db: duckdb.DuckDBPyConnection) -> None:
        self._workspace, self._db = workspace, db
        self._store = store
        self._assets = [name for node in workspace.project.nodes.values() if node.kind == "asset" for name in node.outputs]
        self._absent: dict[str, LegatoError] = {}
        self._named: list[str] = []

    def make(self, sql: str) -> None:
        """A view for each asset whose name is a word of the statement, in whatever case."""
        words = {(quoted or bare).lower() for quoted, bare in _WORD.findall(sql)}
        self._named = [asset for asset in self._assets if asset.lower() in words]
        heads = self._store.heads(self._named) if self._store is not None else {}
        for asset in self._named:
            found = heads.get(asset)
            try:
                if not found:
                    again = "show {}" if self._workspace.project.maker(asset).called else "run +{}"
                    raise NotFound("query-empty", f"{asset} has no published version yet", next=f"legato {again.format(asset)}")
                self._make_view(asset, found)
            except LegatoError as error:
                self._absent[asset.lower()] = error

    def _make_view(self, asset: str, heads: Mapping[str, Head]) -> None:
        ordered = [heads[partition] for partition in sorted(heads)]
        files = [self._file(head) for head in ordered]
        if all(head.ref.format == "parquet" for head in ordered):
            listed = ", ".join(map(literal, files))
            self._db.execute(f"create view {identifier(asset)} as select * from read_parquet([{listed}], union_by_name = true)")
            return
        values = [(head.partition, _text(head, file)) for head, file in zip(ordered, files, strict=True)]
        self._db.execute(f"create table {identifier(asset)} (partition varchar, value varchar)")
        self._db.executemany(f"insert into {identifier(asset)} values (?, ?)", values)

    def _file(self, head: Head) -> str:
        storage = self._workspace.storages.get(head.ref.storage)
        if storage is None:
            raise LegatoError(
                "storage-unknown", f"{show(head.asset, head.partition)} is kept in storage {head.ref.storage!r}",
                why="the project configures no storage of that name",
                next=f"put [storages.{head.ref.storage}] back into the project's configuration",
            )  # fmt: skip
        return str(storage.load((head.ref,), Path))

    def refusal(self, error: Exception) -> LegatoError:
        """Why DuckDB does not answer, in Legato's words where the reason is Legato's."""
        import duckdb

        message = str(error).strip()
        if isinstance(error, duckdb.PermissionException):
            return Forbidden(
                "query-closed", "a query opens published versions and other files below the project's storages, and nothing else",
                why=message.partition(": ")[2].partition(" - ")[0], next="make an asset of what is to be read",
            )  # fmt: skip
        unknown = _UNKNOWN.search(message)
        if unknown is None:
            named = f'legato query "describe {self._named[0]}"' if len(self._named) == 1 else "legato query --help"
            return UsageError("query", "this SQL cannot be answered", why=message.partition(": ")[2] or message, next=named)
        name = unknown[1]
        if name.lower() in self._absent:
            return self._absent[name.lower()]
        for asset in self._assets:
            if asset.lower().endswith((f".{name.lower()}", f"/{name.lower()}")):
                why = "names with a dot or a slash stand in double quotes"
                return NotFound("query-table", f"no asset is named {name!r}", why=why, next=f"write {identifier(asset)}")
        why = did_you_mean(name, self._assets) or f"the assets are {_listed(self._assets)}"
        return NotFound("query-table", f"no asset is named {name!r}", why=why, next="legato list kind:asset")


def _answer(db: duckdb.DuckDBPyConnection, statement: str, views: _Views) -> Answer:
    """The columns, and the rows as they are fetched; times come as aware datetimes in UTC."""
    described = db.sql(statement)
    columns, types = tuple(described.columns), tuple(map(str, described.types))
    zoned = [at for at, kind in enumerate(types) if kind == _ZONED]
    result = db.execute(_without_zones(statement, types) if any("WITH TIME ZONE" in kind for kind in types) else statement)

    def rows() -> Iterator[Row]:
        while True:
            with _told(views):
                page = result.fetchmany(_PAGE)
            if not page:
                return
            yield from (_in_utc(row, zoned) for row in page) if zoned else page

    return Answer(columns, types, rows())


def _without_zones(statement: str, types: tuple[str, ...]) -> str:
    """The statement with its aware times as plain ones in UTC: DuckDB hands out aware ones only where pytz is installed."""
    names = [f"c{at}" for at in range(len(types))]
    casts = {_ZONED: "::timestamp", "TIME WITH TIME ZONE": ""}
    told = [
        name + (casts.get(kind, "::varchar") if "WITH TIME ZONE" in kind else "") for name, kind in zip(names, types, strict=True)
    ]
    return f"select {', '.join(told)} from ({statement}\n) answer ({', '.join(names)})"


def _in_utc(row: Row, zoned: list[int]) -> Row:
    values = list(row)
    for at in zoned:
        values[at] = None if values[at] is None else values[at].replace(tzinfo=UTC)
    return tuple(values)


def _text(head: Head, file: str) -> str:
    """A value that is no table, as text; where it is in bytes or pickled, its file's path."""
    return Path(file).read_text(encoding="utf-8", errors="replace") if head.ref.format in ("text", "json") else file


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
