"""Which run is meant: by its name, the last one, or the one that is left to resume."""

from __future__ import annotations

from legato.ports.store import Run, Store
from legato.terms.errors import NotFound, UsageError


def find_run(store: Store, text: str) -> Run:
    """The run of this name: an id, an unambiguous beginning of one, or `last`."""
    if text == "last":
        newest = store.runs(limit=1)
        if not newest:
            raise nothing_ran()
        return newest[0]
    exact = store.run(text)
    if exact is not None:
        return exact
    matches = [each for each in store.runs(limit=1000) if each.id.startswith(text)] if text else []
    if not matches:
        raise NotFound("run", f"there is no run {text!r}", next="legato runs")
    if len(matches) > 1:
        names = ", ".join(each.id for each in matches[:4])
        raise UsageError("run", f"{text!r} could be any of {len(matches)} runs: {names}", next="write more of the run's name")
    return matches[0]


def nothing_ran() -> NotFound:
    """That there is no run to speak of."""
    return NotFound("run", "nothing has run here yet", next="legato run")


def require_open(run: Run) -> None:
    """Refuse (`run-ended`) a run that has its outcome."""
    if run.state != "open":
        raise UsageError("run-ended", f"run {run.id} has {run.state} already", next=f"legato status {run.id}")


def run_to_resume(store: Store, text: str | None) -> Run:
    """The named run, or the newest one that did not succeed."""
    if text is not None:
        chosen = find_run(store, text)
        if chosen.state == "succeeded":
            raise UsageError("run-succeeded", f"run {chosen.id} succeeded: nothing is left to resume", next="legato run")
        return chosen
    for each in store.runs(limit=100):
        if each.state == "succeeded":
            continue
        return each
    raise NotFound("run", "no run is left to resume", why="all of them succeeded", next="legato runs")
