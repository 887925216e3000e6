"""What a group of commits writes, as rows by statement: the last word on a key wins, the order of events is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from legato.ports.access import AccessChange, Audit
from legato.ports.decisions import Decided, Ticking
from legato.ports.keeping import Removal
from legato.ports.store import Commit, Run
from legato.terms.codec import fingerprint, pack

Row = tuple[Any, ...]
Key = tuple[str, str]


def rows_of(commits: Sequence[Commit], number: Callable[[str], int]) -> list[tuple[str, list[Row]]]:
    """The statements of the group with their rows. `number` finds the number of a run, or raises `NotFound`."""
    events: list[Row] = []
    versions: list[Row] = []
    heads: dict[Key, bytes | None] = {}
    troubles: dict[Key, bytes | None] = {}
    timings: list[Row] = []
    starts: list[Row] = []
    cached: list[Row] = []
    uncached: list[Row] = []
    runs: list[Row] = []
    audit: list[Row] = []
    for commit in commits:
        if commit.events:
            events += event_rows(number(commit.run_id), commit.events)
        versions += [(v.ref.asset, v.ref.partition, v.ref.version, pack(v)) for v in commit.versions]
        heads.update(((head.asset, head.partition), pack(head)) for head in commit.heads)
        heads.update((key, None) for key in commit.unpublished)
        troubles.update(((trouble.asset, trouble.partition), pack(trouble)) for trouble in commit.troubles)
        troubles.update((key, None) for key in commit.settled)
        timings += [(node, attempts, seconds) for node, (attempts, seconds) in commit.timings.items()]
        starts += [(start.pool, start.key, start.at, start.until) for start in commit.starts]
        audit += audit_rows(commit.audit)
        cached += [(each.key, each.run, pack(each)) for each in commit.cached]
        uncached += [(commit.run_id,)] if commit.uncached else []
        if commit.run is not None:
            runs.append((commit.run.state, pack(commit.run), number(commit.run_id)))
    return [
        ("insert_event", events),
        ("put_version", versions),
        ("put_head", _kept(heads)),
        ("delete_head", _gone(heads)),
        ("put_trouble", _kept(troubles)),
        ("delete_trouble", _gone(troubles)),
        ("add_timing", timings),
        ("forget_starts", [(max(row[2] for row in starts),)] if starts else []),
        ("add_start", starts),
        ("put_cached", cached),
        ("delete_cached", uncached),
        ("update_run", runs),
        ("add_audit", audit),
    ]


def access_rows(change: AccessChange) -> list[tuple[str, list[Row]]]:
    """The statements of a change of access with their rows."""
    return [
        ("put_user", [(user.name, pack(user)) for user in change.users]),
        ("put_token", [(token.digest, pack(token)) for token in change.tokens]),
        ("delete_token", [(digest,) for digest in change.revoked]),
        ("add_audit", audit_rows(change.audit)),
    ]


def ticking_rows(ticking: Ticking) -> list[tuple[str, list[Row]]]:
    """The statements of what triggers decided, with their rows."""
    decided = [(each.trigger, each.key, int(each.waits), each.run, each.note, each.body) for each in ticking.decided]
    return [
        ("add_decision", decided),
        ("keep_trigger", list(ticking.kept.items())),
        ("hear", [] if ticking.heard is None else [(ticking.heard,)]),
        ("add_audit", audit_rows(ticking.audit)),
    ]


def removal_rows(removal: Removal) -> list[tuple[str, list[Row]]]:
    """The statements of what leaves the store, with their rows."""
    runs: list[Row] = [(run,) for run in removal.runs]
    return [
        ("note_removed_run", runs),
        ("drop_plan", runs),
        ("drop_cached", runs),
        ("drop_run", runs),
        ("drop_event", [(number,) for number in removal.events]),
        ("forget_removed_runs", [()] if runs or removal.events else []),
        ("drop_version", list(removal.versions)),
        ("drop_project", [(version,) for version in removal.projects]),
        ("drop_texts", [()] if removal.projects else []),
        ("forget_texts", [()] if removal.projects else []),
        ("remember_tick", [(tick_mark(*tick),) for tick in removal.known]),
        ("drop_decision", [(number,) for number in removal.decisions]),
        ("drop_audit", [(number,) for number in removal.audits]),
        ("delete_token", [(digest,) for digest in removal.tokens]),
        ("forget_starts", [] if removal.starts is None else [(removal.starts,)]),
        ("add_waste", [(waste.at, pack(waste.ref)) for waste in removal.wasted]),
        ("drop_waste", [(number,) for number in removal.discarded]),
        ("look", [] if removal.looked is None else [(removal.looked,)]),
    ]


def tick_mark(trigger: str, key: str) -> bytes:
    """What is kept of a decision that is not kept: that there was one."""
    return bytes.fromhex(fingerprint(trigger, key))


def decided_of(row: Row) -> Decided:
    """The decision in a row."""
    trigger, key, body, waits, run, note = row
    return Decided(trigger=trigger, key=key, body=body, waits=bool(waits), run=run, note=note)


def audit_rows(told: Iterable[Audit]) -> list[Row]:
    """The rows of what somebody did."""
    return [(pack(each),) for each in told]


def event_rows(run: int, bodies: Sequence[bytes]) -> list[Row]:
    """The rows of a run's events; anything but bytes is refused before it could be stored as something else."""
    if not all(isinstance(body, bytes) for body in bodies):
        raise TypeError("an event is stored as bytes")
    return [(run, body) for body in bodies]


def run_row(run: Run) -> Row:
    """The row of a new run."""
    return (run.id, run.state, pack(run), run.key or None, int(run.backfill is not None))


def _kept(moves: dict[Key, bytes | None]) -> list[Row]:
    return [(*key, body) for key, body in moves.items() if body is not None]


def _gone(moves: dict[Key, bytes | None]) -> list[Row]:
    return [key for key, body in moves.items() if body is None]
