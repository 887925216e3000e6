"""The doctor's round: everything that a project stands on, looked at and told; a thing that breaks on the way is a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from legato.declare.manuscript import read as read_manuscript
from legato.ports.store import ProjectVersion, Run, Store
from legato.runtime.replay import read_state
from legato.service.allowance import UNLIMITED, Allowance, UsedUp
from legato.service.former import require_code
from legato.service.inventory import examine_data, find_leftovers, remove
from legato.service.premises import Finding, Level, Premises, examine_premises, in_bytes, judge_clock
from legato.service.reporting import state_in_words
from legato.service.shell import command
from legato.terms.errors import LegatoError, NotFound
from legato.terms.instant import Instant

_RUNS, _RUNS_DEEP, _RECORDS = 20, 1_000_000, 10_000
"""So many runs are looked at, and so many of their steps and events."""
_WASTE, _END_OF_TIME = 1_000, Instant((1 << 63) - 1)


class Checkup(Struct, frozen=True, kw_only=True):
    """All findings, whether all was read for them, and the files that were removed."""

    findings: list[Finding]
    deep: bool = False
    removed: list[str] = []

    @property
    def is_sound(self) -> bool:
        """Whether there is no fault."""
        return all(finding.level != "fault" for finding in self.findings)


def examine(premises: Premises, *, deep: bool = False, leftovers: bool = False) -> Checkup:
    """Look at what is there now; however long the history, that takes the same time. What was not looked at is said.

    `deep` reads every page of the store, every stored byte and the history of every run. `leftovers` are looked for however
    many files there are.
    """
    findings = _guarded("premises", lambda: examine_premises(premises))
    try:
        store = premises.open_reader()
    except NotFound:
        findings += [judge_clock(None), Finding("store", "ok", "none yet: nothing has run here")]
    except LegatoError as error:
        findings += [judge_clock(None), _as_finding("migrations" if error.code in _OF_ANOTHER else "store", error)]
    else:
        with_store: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
            ("store", lambda: _store(premises, store, deep=deep)),
            ("clock", lambda: iter([judge_clock(_last_instant(store))])),
            ("runs", lambda: _runs(premises, store, deep=deep)),
            ("code", lambda: _code(store, deep=deep)),
            ("data", lambda: examine_data(premises, store, deep=deep, leftovers=leftovers)),
        ]
        try:
            for subject, look in with_store:
                findings += _guarded(subject, look)
        finally:
            store.close()
    return Checkup(findings=findings, deep=deep)


def remove_leftovers(premises: Premises) -> list[str]:
    """Remove what killed attempts have staged, at the writer's place so that nothing runs meanwhile; the removed files."""
    writer = premises.open_writer("legato doctor --fix")
    try:
        return remove(find_leftovers(premises, writer, Allowance())[0])
    finally:
        writer.close()


def _guarded(subject: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(look())
    except (LegatoError, OSError) as error:
        found.append(_as_finding(subject, error))
    return found


_OF_ANOTHER = {"store-older": "warning", "store-newer": "fault"}
"""A store of another schema than ours, and how bad that is: the next command that writes brings an older one up to date."""


def _as_finding(subject: str, error: LegatoError | OSError) -> Finding:
    if isinstance(error, OSError):
        return Finding(subject, "fault", str(error))
    where = f" ({error.where})" if error.where else ""
    why = f": {error.why}" if error.why else ""
    level: Level = "warning" if _OF_ANOTHER.get(error.code) == "warning" else "fault"
    return Finding(subject, level, f"{error.what}{where}{why}", error.next)


def _store(premises: Premises, store: Store, *, deep: bool) -> Iterator[Finding]:
    facts = store.facts()
    told = f"schema {facts['schema']}, journal {facts['journal_mode']}, {in_bytes(facts['size_bytes'])}"
    if not deep:
        yield Finding("store", "ok", f"{told}; its pages were not read: legato doctor --deep")
    elif damage := store.damage():
        fix = f"restore a copy of {facts['path']}, or save what can be read: sqlite3 {facts['path']} .recover > saved.sql"
        yield Finding("store", "fault", f"{told}: it is damaged: {'; '.join(damage)}", fix)
    else:
        yield Finding("store", "ok", f"{told}, every page intact")
    if facts["journal_mode"] != "wal":
        yield Finding("store", "warning", f"its journal mode is {facts['journal_mode']}, not wal", "legato run sets it again")
    yield Finding("migrations", "ok", f"schema {facts['schema']}, the newest that this Legato knows")
    yield from _waste(store, UNLIMITED if deep else _WASTE)
    holder = premises.find_holder()
    if holder is not None:
        yield Finding("holder", "ok", f"process {holder.pid} (`{holder.command}`) works here since {holder.since}")


def _waste(store: Store, most: int) -> Iterator[Finding]:
    """What is on its way out: its records are gone, its bytes follow."""
    wastes = store.wastes(_END_OF_TIME, most)
    if not wastes:
        return
    size, first = in_bytes(sum(waste.ref.size_bytes for _, waste in wastes)), store.oldest_open()
    number = f"{len(wastes):,} old value{'' if len(wastes) == 1 else 's'}, {size}"
    what = f"{number if len(wastes) < most else f'{number}, and perhaps more'}, to be deleted when nobody can be reading them"
    if first is not None and first.at < wastes[0][1].at:
        what += f": that is when run {first.id} is over, and every other that was open then"
    yield Finding("waste", "ok", what)


def _last_instant(store: Store) -> Instant | None:
    """The latest instant among the newest runs and what they recorded last."""
    found: list[Instant] = []
    for run in store.runs(limit=_RUNS):
        found.append(run.at)
        found += [run.ended] if run.ended is not None else []
    return max(found, default=None)


def _runs(premises: Premises, store: Store, *, deep: bool) -> Iterator[Finding]:
    """Runs that were left open, and runs whose history cannot be read."""
    most = _RUNS_DEEP if deep else _RUNS
    newest = store.runs(limit=most)
    left = store.runs(limit=_RUNS, state="open")
    holder, first = premises.find_holder(), newest[0].id if newest else ""
    interrupted = [run for run in left if state_in_words(run, holder, first) == "interrupted"]
    for run in interrupted:
        what = f"run {run.id} ({run.request}) was interrupted"
        yield Finding("runs", "warning", what, command("legato", "resume", run.id))
    runs, allowance = list({run.id: run for run in (*left, *newest)}.values()), Allowance(UNLIMITED if deep else _RECORDS)
    faults = {run.id: _unreadable(store, run, allowance) for run in runs}
    damaged = [run for run in runs if faults[run.id]]
    for run in damaged:
        fix = f"what it published stays; make anew what is missing: {command('legato', 'run')}"
        yield Finding("runs", "fault", f"the history of run {run.id} ({run.request}) cannot be read: {faults[run.id]}", fix)
    sound = "" if interrupted or damaged else "none is interrupted; "
    if unread := sum(fault is None for fault in faults.values()):
        what = f"{sound}{unread} of {len(runs)} are long, and their histories were not read: legato doctor --deep"
        yield Finding("runs", "ok", what)
    elif sound:
        number = f"the newest {len(newest)} can" if len(newest) == most else f"all {len(newest)} can"
        yield Finding("runs", "ok", f"{sound}{number} be read" if newest else "none yet")


def _code(store: Store, *, deep: bool) -> Iterator[Finding]:
    """Whether versions of the project have their code, so that runs of them can go on with it."""
    versions = store.projects(limit=_RUNS_DEEP if deep else _RUNS)
    bare = sum(not version.code for version in versions)
    told = f"of {len(versions)} versions of the project {len(versions) - bare} have their code"
    if not deep:
        yield Finding("code", "ok", f"{told}; it was not read: legato doctor --deep" if versions else "none yet")
        return
    faults = [f"{version.fingerprint[:12]}: {why}" for version in versions if version.code and (why := _unread(store, version))]
    if faults:
        yield Finding("code", "warning", f"{told}; not to be had is that of {'; '.join(faults)}", "legato explain code-damaged")
    else:
        yield Finding("code", "ok", f"{told}, whole" if versions else "none yet")


def _unread(store: Store, version: ProjectVersion) -> str:
    """What hinders the reading of a version's code; empty if nothing does."""
    try:
        read_manuscript(require_code(store, version.fingerprint))
    except LegatoError as error:
        return error.why
    return ""


def _unreadable(store: Store, run: Run, allowance: Allowance) -> str | None:
    """What hinders the reading of a run's history; empty if nothing does, None if it is longer than what may be read."""
    try:
        allowance.take(run.steps)
        read_state(store, run.id, hear=lambda _: allowance.take())
    except UsedUp:
        return None
    except LegatoError as error:
        return error.why or error.what
    except Exception as error:  # whatever a plan that was tampered with does to its reader
        return f"{type(error).__name__}: {error}"
    return ""
