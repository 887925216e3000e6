"""The doctor's round: everything that a project stands on, looked at and told; a thing that breaks on the way is a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from legato.ports.store import Run, Store
from legato.runtime.replay import read_state
from legato.service.inventory import examine_data, find_leftovers, remove
from legato.service.premises import Finding, Level, Premises, examine_premises, in_bytes, judge_clock
from legato.service.reporting import state_in_words
from legato.service.shell import command
from legato.terms.errors import LegatoError, NotFound
from legato.terms.instant import Instant

_RUNS, _RUNS_DEEP = 20, 1_000_000
_MOST_WASTE, _END_OF_TIME = 100_000, Instant((1 << 63) - 1)


class Checkup(Struct, frozen=True, kw_only=True):
    """All findings, and the files that were removed."""

    findings: list[Finding]
    removed: list[str] = []

    @property
    def is_sound(self) -> bool:
        """Whether there is no fault."""
        return all(finding.level != "fault" for finding in self.findings)


def examine(premises: Premises, *, deep: bool = False) -> Checkup:
    """Look at everything. `deep` reads every stored byte and the history of every run."""
    findings = _guarded("premises", lambda: examine_premises(premises))
    try:
        store = premises.open_reader()
    except NotFound:
        findings += [judge_clock(None), Finding("store", "ok", "none yet: nothing has run here")]
    except LegatoError as error:
        findings += [judge_clock(None), _as_finding("migrations" if error.code in _OF_ANOTHER else "store", error)]
    else:
        with_store: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
            ("store", lambda: _store(premises, store)),
            ("clock", lambda: iter([judge_clock(_last_instant(store))])),
            ("runs", lambda: _runs(premises, store, _RUNS_DEEP if deep else _RUNS)),
            ("data", lambda: examine_data(premises, store, deep=deep)),
        ]
        try:
            for subject, look in with_store:
                findings += _guarded(subject, look)
        finally:
            store.close()
    return Checkup(findings=findings)


def remove_leftovers(premises: Premises) -> list[str]:
    """Remove what killed attempts have staged, at the writer's place so that nothing runs meanwhile; the removed files."""
    writer = premises.open_writer("legato doctor --fix")
    try:
        return remove(find_leftovers(premises, writer)[0])
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


def _store(premises: Premises, store: Store) -> Iterator[Finding]:
    facts = store.facts()
    told = f"schema {facts['schema']}, journal {facts['journal_mode']}, {in_bytes(facts['size_bytes'])}"
    if facts["intact"]:
        yield Finding("store", "ok", f"{told}, intact")
    else:
        fix = f"restore a copy of {facts['path']}, or save what can be read: sqlite3 {facts['path']} .recover > saved.sql"
        yield Finding("store", "fault", f"{told}: {'; '.join(facts['warnings'])}", fix)
    if facts["journal_mode"] != "wal":
        yield Finding("store", "warning", f"its journal mode is {facts['journal_mode']}, not wal", "legato run sets it again")
    yield Finding("migrations", "ok", f"schema {facts['schema']}, the newest that this Legato knows")
    yield from _waste(store)
    holder = premises.find_holder()
    if holder is not None:
        yield Finding("holder", "ok", f"process {holder.pid} (`{holder.command}`) works here since {holder.since}")


def _waste(store: Store) -> Iterator[Finding]:
    """What is on its way out: its records are gone, its bytes follow."""
    wastes = store.wastes(_END_OF_TIME, _MOST_WASTE)
    if not wastes:
        return
    size, first = in_bytes(sum(waste.ref.size_bytes for _, waste in wastes)), store.oldest_open()
    what = f"{len(wastes):,} old value{'' if len(wastes) == 1 else 's'}, {size}, to be deleted when nobody can be reading them"
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


def _runs(premises: Premises, store: Store, most: int) -> Iterator[Finding]:
    """Runs that were left open, and runs whose history cannot be read."""
    newest = store.runs(limit=most)
    left = store.runs(limit=_RUNS, state="open")
    holder, first = premises.find_holder(), newest[0].id if newest else ""
    interrupted = [run for run in left if state_in_words(run, holder, first) == "interrupted"]
    for run in interrupted:
        what = f"run {run.id} ({run.request}) was interrupted"
        yield Finding("runs", "warning", what, command("legato", "resume", run.id))
    damaged = [(run, fault) for run in _distinct([*newest, *left]) if (fault := _unreadable(store, run))]
    for run, fault in damaged:
        fix = f"what it published stays; make anew what is missing: {command('legato', 'run')}"
        yield Finding("runs", "fault", f"the history of run {run.id} ({run.request}) cannot be read: {fault}", fix)
    if not interrupted and not damaged:
        number = f"the newest {len(newest)} can" if len(newest) == most else f"all {len(newest)} can"
        yield Finding("runs", "ok", f"none is interrupted; {number} be read" if newest else "none yet")


def _distinct(runs: list[Run]) -> list[Run]:
    return list({run.id: run for run in runs}.values())


def _unreadable(store: Store, run: Run) -> str:
    try:
        read_state(store, run.id)
    except LegatoError as error:
        return error.why or error.what
    except Exception as error:  # whatever a plan that was tampered with does to its reader
        return f"{type(error).__name__}: {error}"
    return ""
