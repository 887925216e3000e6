"""Broken variants of what is recorded and published, and whose word counts."""

from __future__ import annotations

from marks import caught_by, replacing

from legato.kernel import decide as deciding
from legato.kernel import events as ev
from legato.kernel.rules import report
from legato.kernel.state import Attempt
from legato.kernel.turn import Turn
from legato.ports.store import Commit
from legato.runtime import book as booking
from legato.runtime.book import Book, head_of
from legato.runtime.conductor import Conductor
from legato.terms.attempt import Done, Noted
from legato.terms.errors import LegatoError


@caught_by("kernel", "worlds")
def no_token_check(patch):
    """Any report speaks for whatever attempt of its step is under way."""
    patch.setattr(Turn, "attempt", lambda turn, step, token: turn.state.running.get(step))


@caught_by("kernel")
def anybody_may_tell(patch):
    """Facts are recorded whoever tells them, and whenever."""

    def take_noted(turn, noted):
        turn.emit(ev.FactsNoted(turn.now, noted.step, noted.token, noted.facts, noted.keys))

    patch.setitem(deciding._BY_INPUT, Noted, take_noted)


@caught_by("kernel", "worlds")
def stale_success_publishes(patch):
    """A success whose attempt is gone is recorded all the same."""

    def current(turn, step, token):
        found = turn.state.running.get(step)
        return found if found is not None and found.token == token else Attempt(token, "run", turn.now, None, ())

    patch.setitem(deciding._BY_INPUT, Done, replacing(Turn, "attempt", current, report.take_done))


@caught_by("kernel", "worlds")
def doubled_success_is_discarded(patch):
    """A success heard twice is taken for a stale one, and what it published is thrown away."""

    def take_done(turn, done):
        turn.state.recorded.clear()
        report.take_done(turn, done)

    patch.setitem(deciding._BY_INPUT, Done, take_done)


@caught_by("worlds", "deaths")
def acts_before_it_records(patch):
    """Orders leave before the commit that says so."""
    offer, perform = Conductor._offer, Conductor._perform

    def offer_and_perform(self, now):
        perform(self, offer(self, now))
        return []

    patch.setattr(Conductor, "_offer", offer_and_perform)


@caught_by("worlds")
def goes_on_after_a_failed_write(patch):
    """A commit that failed is shrugged off."""
    commit = Conductor._commit

    def shrug(self):
        try:
            commit(self)
        except LegatoError:
            for live in self.runs.values():
                live.events.clear()

    patch.setattr(Conductor, "_commit", shrug)
    patch.setattr("legato.testing.workers.SimulatedExecutor.close", lambda self: None)


@caught_by("worlds")
def records_and_publishes_apart(patch):
    """Events and heads are written in two transactions."""
    commit = Conductor._commit

    def commit_twice(self):
        store = self.store

        class Split:
            def commit(self, commits):
                store.commit([Commit(run_id=each.run_id, events=each.events, run=each.run) for each in commits])
                store.commit([Commit(run_id=each.run_id, versions=each.versions, heads=each.heads) for each in commits])

        self.store = Split()
        try:
            commit(self)
        finally:
            self.store = store

    patch.setattr(Conductor, "_commit", commit_twice)


@caught_by("worlds", "conductors")
def rests_before_the_last_commit(patch):
    """The loop ends as soon as memory says that the run did."""
    patch.setattr(Conductor, "_busy", lambda self: any(live.state.ended is None for live in self.runs.values()))


@caught_by("kernel", "worlds")
def publishes_past_the_gate(patch):
    """Blocking verdicts are not looked at."""
    patch.setattr(report, "_gate", lambda outputs: None)


@caught_by("worlds")
def shows_quarantined_versions(patch):
    """A quarantined version becomes what readers see."""
    failed = Book._failed

    def show(self, commit, event):
        failed(self, commit, event)
        commit.heads.extend(head_of(version) for version in commit.versions if version.state == "quarantined")

    patch.setitem(booking._WRITERS, ev.AttemptFailed, show)


@caught_by("worlds", "deaths")
def publishes_twice(patch):
    """Each version is recorded again by the commit that ends the run."""
    ended, succeeded = Book._ended, Book._succeeded
    made = []

    def remember(self, commit, event):
        succeeded(self, commit, event)
        made.extend((self.run.id, version) for version in commit.versions)

    def repeat(self, commit, event):
        ended(self, commit, event)
        commit.versions.extend(version for run, version in made if run == self.run.id)

    patch.setattr(Book, "_succeeded", remember)
    patch.setitem(booking._WRITERS, ev.RunEnded, repeat)
