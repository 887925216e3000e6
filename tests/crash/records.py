"""What is on record of the newest run of a project, read from outside."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from legato.kernel.events import StepSucceeded, decode
from legato.kernel.state import RunState
from legato.runtime.replay import read_state
from legato.stores.sqlite import SqliteStore
from legato.terms.errors import NotFound


def newest(folder: Path) -> tuple[RunState | None, Counter[int]]:
    """The newest run as it is on record, and how often each step's success is."""
    try:
        store = SqliteStore(folder / ".legato" / "state.db", read_only=True)
        runs = store.runs(limit=1)
    except NotFound:
        return None, Counter()
    if not runs:
        store.close()
        return None, Counter()
    state = read_state(store, runs[0].id)
    events = [decode(body) for _, body in store.events(runs[0].id)]
    store.close()
    return state, Counter(event.step for event in events if isinstance(event, StepSucceeded))
