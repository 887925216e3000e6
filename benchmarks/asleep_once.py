"""Runs many flows that sleep: says, once all do, when the first one wakes; at last, how many seconds late the last one woke."""

import sys
from pathlib import Path

from benchmarks.flows import ASLEEP_S
from legato.kernel import events as ev
from legato.kernel.state import PARKED, RunState
from legato.service.request import Request
from legato.service.running import run, session
from legato.terms.codec import unpack
from legato.wiring.code import open_workspace

count = int(sys.argv[2])
due_s: dict[int, float] = {}
late_s: list[float] = []


def hear(state: RunState, events: list[ev.AnyEvent]) -> None:
    """Follow the flows to sleep, and out of it."""
    for event in events:
        if isinstance(event, ev.StepsCalled) and event.calls[0].wait is not None:
            due_s[event.parent] = event.at / 1e6 + ASLEEP_S
        elif isinstance(event, ev.StepSucceeded) and event.step in due_s and event.value is not None:
            late_s.append(unpack(event.value, float) - due_s[event.step])
    if any(isinstance(event, ev.StepParked) for event in events) and state.counts[PARKED] == count + 1:
        print(min(due_s.values()), flush=True)


workspace = open_workspace(Path(sys.argv[1]), executor="process", workers=2)
with session(workspace, "benchmark", hear) as opened:
    _, state = run(opened, Request("naps"), lambda *_: None)
    assert state is not None
    assert state.ended == "succeeded"
    assert len(late_s) == count
    print(max(late_s))
