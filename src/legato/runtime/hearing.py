"""Hears what workers report: what a run is told of it, and what the conductor keeps for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from legato.kernel.inputs import Input, Reports
from legato.runtime.catalogue import Catalogue
from legato.runtime.dispatch import Pace, paced_as
from legato.runtime.inquiry import ASKING, Inquiries
from legato.runtime.runs import Live
from legato.terms.attempt import Begun, Called, Done, Noted, Report
from legato.terms.instant import Instant

_BEGUN_AFTER_S = 0.15
"""Attempts that last this long are recorded as begun, so that others can follow their output."""


class Ears:
    """The conductor's ears. `tell` lets a run know what came of its attempts: the next commit records that."""

    def __init__(
        self, runs: Mapping[str, Live], catalogue: Catalogue, pace: Pace, inquiries: Inquiries,
        tell: Callable[[Live, Input, Instant], None],
    ) -> None:  # fmt: skip
        self._runs, self._catalogue, self._pace, self._inquiries, self._tell = runs, catalogue, pace, inquiries, tell
        self._begun: dict[tuple[str, int, int], tuple[Begun, Instant]] = {}

    def hear(self, reports: Iterable[Report], now: Instant, *, draining: bool) -> None:
        """Take up what workers told; to a run all of it is one input. While `draining`, nothing starts beside a flow."""
        heard: dict[str, list[Report]] = {}
        took: dict[str, tuple[int, float]] = {}
        for report in reports:
            live = self._runs.get(report.run)
            if live is None:
                if report.run == ASKING:
                    self._inquiries.hear(report)
                continue
            if type(report) is Begun:
                self._begun[report.run, report.step, report.token] = (report, now)
                continue
            if type(report) is Done:
                count, seconds = took.get(name := paced_as(live.state, report.step), (0, 0.0))
                took[name] = count + 1, seconds + report.seconds
            heard.setdefault(report.run, []).append(self._take_note(live, report, draining))
        for name, (count, seconds) in took.items():
            self._pace.see(name, seconds, count)
        for run, told in heard.items():
            live = self._runs[run]
            known = len(live.state.plan.handling)
            self._tell(live, Reports(told), now)
            if len(live.state.plan.handling) > known:  # nodes were called that the plan did not know
                self._catalogue.learn(live.dispatch.assets_of(live.state))

    def record_begun(self, now: Instant) -> None:
        """Tell runs of the attempts that have begun and last: of short ones their end says enough."""
        for key, (begun, since) in list(self._begun.items()):
            if begun.run not in self._runs:
                del self._begun[key]
                continue
            state = self._runs[begun.run].state
            limit_s = state.handling(begun.step).timeout_s
            attempt = state.running.get(begun.step)
            overdue = attempt is not None and attempt.deadline is not None and attempt.deadline <= now
            if overdue or now - since >= min(_BEGUN_AFTER_S, limit_s or _BEGUN_AFTER_S) * 0.5e6:
                del self._begun[key]
                self._tell(self._runs[begun.run], begun, since)

    def _take_note(self, live: Live, report: Report, draining: bool) -> Report:
        """Keep what the conductor itself has to know; what the run is told."""
        if type(report) is Noted:
            return report
        if type(report) is Called:
            if draining:  # then nothing starts, beside a flow or elsewhere: the flow gives its process back
                return replace(report, calls=tuple(replace(call, beside=False) for call in report.calls))
            return report
        if self._begun:
            self._begun.pop((report.run, report.step, report.token), None)
        if live.edition.beside:
            live.edition.beside.discard((report.run, report.step))
        return self._with_replaced(report) if type(report) is Done and report.outputs else report

    def _with_replaced(self, done: Done) -> Done:
        """The same, with the versions that its outputs are to replace."""
        heads = [self._catalogue.head(output.ref.asset, output.ref.partition) for output in done.outputs]
        former = tuple("" if head is None else head.version for head in heads)
        return Done(
            done.run, done.step, done.token, done.seconds, done.value, done.kept, done.outputs, done.log, former
        )  # fmt: skip
