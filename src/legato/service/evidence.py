"""What is left of a failure: the error and its place, the checks that failed with the rows that offend, the last output."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from legato.ports.store import Store, Trouble, Version
from legato.service.logbook import AttemptRecord, Logbook, last_lines
from legato.service.query import literal
from legato.service.shell import command
from legato.service.workspace import Workspace
from legato.terms.errors import LegatoError
from legato.terms.fact import Severity, Verdict
from legato.terms.instant import Instant

_LINES = 10


class FailedCheck(Struct, frozen=True, kw_only=True):
    """A check that said no: how many rows offend, up to five of them, and the command that shows them all."""

    check: str
    severity: Severity
    message: str
    failed: int
    total: int
    sample: list[dict[str, Any]]
    query: str


class Failure(Struct, frozen=True, kw_only=True):
    """The newest try of an asset partition that did not end in a published version.

    `where` is the user's file and line; `version` and `file` are those of the quarantined value, where there is one; `lines` are
    the last that the attempt printed.
    """

    run: str
    kind: str
    message: str
    at: Instant
    tries: int = 0
    error: str = ""
    where: str = ""
    version: str = ""
    file: str = ""
    checks: tuple[FailedCheck, ...] = ()
    lines: tuple[str, ...] = ()


def investigate(workspace: Workspace, store: Store, trouble: Trouble, book: Logbook) -> Failure:
    """What is known of a trouble. Evidence that is gone is left out: files may have been removed since."""
    attempts = [each for each in book.attempts.values() if each.step == trouble.step and each.mode != "undo"]
    last = attempts[-1] if attempts else None
    error = last.error if last is not None else None
    version = store.version(trouble.asset, trouble.partition, trouble.version) if trouble.version else None
    file = workspace.file_of(version.ref) if version is not None else ""
    return Failure(
        run=trouble.run, kind=trouble.kind, message=trouble.message, at=trouble.at,
        tries=sum(each.outcome != "parked" for each in attempts),
        error=f"{error.types[0].rpartition('.')[2]}: {error.message}" if error is not None and error.types else trouble.message,
        where=error.where if error is not None and trouble.kind != "gate" else "",
        version=trouble.version, file=file, checks=failed_checks(version, file) if version is not None else (),
        lines=_last_output(workspace, last),
    )  # fmt: skip


def failed_checks(version: Version, file: str) -> tuple[FailedCheck, ...]:
    """The checks of a version that failed, blocking ones first; `file` is where its rows stand."""
    failed = sorted((each for each in version.verdicts if not each.passed), key=lambda each: not each.blocks)
    is_table = bool(file) and version.ref.format == "parquet"
    return tuple(
        FailedCheck(
            check=each.check, severity=each.severity, message=each.message, failed=each.failed, total=each.total,
            sample=[_as_stored(row, version) for row in each.sample], query=_query(file, each) if is_table and each.where else "",
        )
        for each in failed
    )  # fmt: skip


def _as_stored(row: dict[str, Any], version: Version) -> dict[str, Any]:
    """The row with its columns in the table's order; the store keeps them by name."""
    order = {column.name: at for at, column in enumerate(version.columns)}
    return dict(sorted(row.items(), key=lambda item: order.get(item[0], len(order))))


def _query(file: str, verdict: Verdict) -> str:
    """A command for the offending rows, over the version's own file: no other name leads to what was never published."""
    return command("legato", "query", f"select * from read_parquet({literal(file)}) where {verdict.where}")


def _last_output(workspace: Workspace, attempt: AttemptRecord | None) -> tuple[str, ...]:
    if attempt is None or attempt.log is None:
        return ()
    try:
        return tuple(last_lines(workspace, attempt.log, _LINES))
    except LegatoError:
        return ()
