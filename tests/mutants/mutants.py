"""Deliberately broken variants of the product, one function each: it breaks what its docstring says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from legato.kernel import commands as cmd
from legato.kernel import decide as deciding
from legato.kernel import events as ev
from legato.kernel import fold as folding
from legato.kernel import inputs
from legato.kernel.board import Board
from legato.kernel.lanes import Lanes
from legato.kernel.rules import control, failure, grant, report, timing
from legato.kernel.state import FRESH, SUCCEEDED, UNDONE, Attempt, RunState
from legato.kernel.turn import Turn
from legato.ports.store import Commit
from legato.runtime import book as booking
from legato.runtime import conductor as conducting
from legato.runtime.book import Book, head_of
from legato.runtime.conductor import Conductor
from legato.terms.attempt import Declined, Done, Noted, Returned
from legato.terms.errors import LegatoError
from legato.terms.fact import Error

Mutant = Callable[[Any], None]

RINGS_OF: dict[Mutant, tuple[str, ...]] = {}


def caught_by(*rings: str) -> Callable[[Mutant], Mutant]:
    """Each of these rings, on its own, must catch the mutant."""

    def note(mutant: Mutant) -> Mutant:
        RINGS_OF[mutant] = rings
        return mutant

    return note


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
        return found if found is not None and found.token == token else Attempt(token, "run", turn.now, None)

    patch.setitem(deciding._BY_INPUT, Done, _with(Turn, "attempt", current, report.take_done))


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
def retries_without_end(patch):
    """The number of retries is not looked at."""
    what_then = failure._what_then

    def again(turn, index, error):
        then, delay_s, error = what_then(turn, index, error)
        return ("retry", 0.5, error) if then == "fail" and error.kind == "raised" else (then, delay_s, error)

    patch.setattr(failure, "_what_then", again)


@caught_by("kernel", "worlds")
def lost_workers_cost_retries(patch):
    """A lost worker is charged to the user's retries."""
    what_then = failure._what_then

    def charged(turn, index, error):
        then, delay_s, told = what_then(turn, index, Error("raised", error.message) if error.kind == "lost" else error)
        return then, delay_s, error if error.kind == "lost" else told

    patch.setattr(failure, "_what_then", charged)


@caught_by("kernel")
def fallback_is_ignored(patch):
    """A step that is out of tries fails, fallback or not."""
    what_then = failure._what_then

    def no_fallback(turn, index, error):
        then, delay_s, error = what_then(turn, index, error)
        return "fail" if then == "fallback" else then, delay_s, error

    patch.setattr(failure, "_what_then", no_fallback)


@caught_by("kernel", "worlds")
def max_time_counts_from_the_newest_try(patch):
    """When the first try began is forgotten."""
    patch.setattr(folding, "note_try", lambda state, index, at: None)


@caught_by("kernel", "worlds")
def backoff_is_cut_short_by_a_replay(patch):
    """Any due instant that an earlier try left behind makes a step in back-off ready."""

    def ready_at_any(turn, tick):
        state = turn.state
        for due, index, _ in state.due:
            if index in state.backoff and due <= turn.now:
                state.backoff[index] = due
        timing.do_what_is_due(turn, tick)

    def keep_dues(turn, asked):
        due = list(turn.state.due)
        control.take_over(turn, asked)
        turn.state.due = due

    patch.setitem(deciding._BY_INPUT, inputs.Tick, ready_at_any)
    patch.setitem(deciding._BY_INPUT, inputs.TakeOver, keep_dues)


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


@caught_by("kernel", "worlds")
def skips_the_claim(patch):
    """Nobody asks who is writing an asset partition."""
    patch.setattr(Board, "holder", lambda self, claims, owner: None)


@caught_by("kernel", "worlds", "deaths")
def leaks_slots(patch):
    """The end of an attempt leaves its slot taken."""
    patch.setattr(Board, "unseat", lambda self, lane: None)


@caught_by("kernel")
def forgets_the_starts_of_a_rate(patch):
    """A rate counts what is under way, like slots, and not what started."""
    patch.setattr(Board, "_count", lambda self, share, at: None)


@caught_by("kernel")
def a_rate_begins_anew_with_each_conductor(patch):
    """Starts are not handed on to who stores them."""
    seat = Board.seat

    def seat_unseen(self, lane, at):
        seat(self, lane, at)
        self.fresh.clear()

    patch.setattr(Board, "seat", seat_unseen)


@caught_by("kernel")
def a_waiting_flow_gives_its_slot_back(patch):
    """What a flow holds is given back when it parks, though it is not over."""
    park = folding.park

    def park_and_leave(state, index, *rest):
        folding._leave_seat(state, index)
        park(state, index, *rest)

    patch.setattr(folding, "park", park_and_leave)


@caught_by("kernel")
def priority_is_absolute(patch):
    """A more urgent step always goes first, however long others have waited."""
    key = Board.key
    patch.setattr(Board, "key", staticmethod(lambda ready, priority, *rest: key(ready, priority * 100_000, *rest)))


@caught_by("kernel")
def nobody_wakes_a_lane(patch):
    """A pool that has room again tells nobody."""
    patch.setattr(Board, "_reopen", lambda self, share: None)


@caught_by("conductors")
def adopted_history_moves_todays_board(patch):
    """A run that is taken over is folded onto the board of the runs that are live."""
    read_state = conducting.read_state

    def on_the_board(self, run_id):
        with_board = RunState(run_id, read_state(self.store, run_id).plan, self._board)
        for _, body in self.store.events(run_id):
            folding.fold(with_board, ev.decode(body))
        live = self._own(self.store.run(run_id), with_board)
        self._tell(live, inputs.TakeOver(), self.clock.now())
        return with_board

    patch.setattr(Conductor, "adopt", on_the_board)


@caught_by("kernel", "worlds", "deaths")
def releases_nobody(patch):
    """A success tells nobody who waits for it."""
    patch.setattr(RunState, "release", lambda self, index, at: None)


@caught_by("kernel", "worlds")
def releases_too_early(patch):
    """A range counts as done when its first step is."""

    def release(self, index, at):
        for joint in self.joints(index):
            if self.joint_left[joint]:
                self.joint_left[joint] = 0
                for waiter in self.joint_steps[joint]:
                    self.left[waiter] -= 1
                    if self.left[waiter] == 0 and self.status[waiter] == 0:
                        self.make_ready(waiter, at)

    patch.setattr(RunState, "release", release)


@caught_by("kernel")
def starts_doubles(patch):
    """Entries that earlier lives left among the ready steps count again."""
    patch.setattr(RunState, "takes", lambda self, index: index not in self.running and self.status[index] < FRESH)


@caught_by("kernel")
def looks_at_the_best_pool_only(patch):
    """First the best step, then whether there is a slot for it: a full pool hides all others."""

    def first(self, taken):
        found = self._best()
        return None if found is None or self._doors.shut(found[1], taken) else self._lanes[found[1]][0]

    patch.setattr(Lanes, "first", first)


@caught_by("kernel")
def cancel_is_ignored(patch):
    """A cancel changes nothing."""
    patch.setitem(deciding._BY_INPUT, inputs.Cancel, lambda turn, asked: None)


@caught_by("kernel")
def cancel_forgets_what_comes_back(patch):
    """Only what waits at the moment of the cancel is cancelled, not what is returned later."""
    patch.setattr(deciding, "SETTLING", (failure.settle_failures, _close_when_asked, deciding.finish))


@caught_by("kernel", "worlds")
def starts_in_a_cancelled_run(patch):
    """A cancelled run hands out what still waits."""

    def start(turn, offer):
        cancelling, turn.state.cancelling = turn.state.cancelling, False
        try:
            grant.grant(turn, offer)
        finally:
            turn.state.cancelling = cancelling

    patch.setattr(deciding, "SETTLING", (failure.settle_failures, _close_halted, deciding.finish))
    patch.setitem(deciding._BY_INPUT, inputs.Offer, start)


@caught_by("worlds", "deaths")
def take_over_keeps_tokens(patch):
    """The next conductor numbers its attempts like the former one."""
    returned = folding._FOLDS[ev.AttemptsReturned]

    def reuse(state, event):
        tokens = [state.running[index].token for index in event.steps if index in state.running]
        returned(state, event)
        if len(event.steps) > 1:
            state.next_token = min(tokens, default=state.next_token)

    patch.setitem(folding._FOLDS, ev.AttemptsReturned, reuse)


@caught_by("kernel", "worlds", "deaths")
def take_over_waits_for_the_dead(patch):
    """The attempts of the former conductor count as under way."""
    patch.setitem(deciding._BY_INPUT, inputs.TakeOver, lambda turn, asked: None)


@caught_by("kernel", "worlds")
def gives_up_before_the_worker_is_gone(patch):
    """A timed-out step is tried again at once, while its process group still runs."""

    def hasty(turn, tick):
        control_before = len(turn.commands)
        timing.do_what_is_due(turn, tick)
        for command in turn.commands[control_before:]:
            if isinstance(command, cmd.KillAttempt):
                turn.emit(ev.AttemptsReturned(turn.now, (command.step,)))

    patch.setitem(deciding._BY_INPUT, inputs.Tick, hasty)


@caught_by("kernel", "worlds")
def resume_repeats_what_succeeded(patch):
    """A resumed run starts over."""
    resumed = folding._FOLDS[ev.RunResumed]

    def start_over(state, event):
        for index, code in enumerate(state.status):
            if code == SUCCEEDED:
                state.set_status(index, UNDONE)
        resumed(state, replace(event, steps=tuple(sorted({*event.steps, *state.done_order}))))

    patch.setitem(folding._FOLDS, ev.RunResumed, start_over)


@caught_by("kernel", "worlds", "deaths")
def failures_skip_nobody(patch):
    """What depends on a failed step goes on waiting for it."""
    patch.setattr(deciding, "SETTLING", tuple(rule for rule in deciding.SETTLING if rule is not failure.settle_failures))


@caught_by("kernel", "worlds")
def declined_counts_as_done(patch):
    """What a condition refuses is taken for a success."""
    patch.setitem(deciding._BY_INPUT, Declined, lambda turn, declined: turn.attempt(declined.step, declined.token)
        and turn.emit(ev.StepSucceeded(turn.now, declined.step, declined.token, 0.0)))  # fmt: skip


@caught_by("kernel")
def returned_is_lost(patch):
    """An attempt that never began counts as a try."""

    def lose(turn, returned):
        report.take_lost(turn, report.Lost(returned.run, returned.step, returned.token, "returned"))

    patch.setitem(deciding._BY_INPUT, Returned, lose)


@caught_by("kernel", "worlds")
def rolls_back_in_forward_order(patch):
    """What was done first is undone first."""
    halted = folding._FOLDS[ev.RunHalted]

    def forward(state, event):
        halted(state, event)
        state.undo_queue.reverse()

    patch.setitem(folding._FOLDS, ev.RunHalted, forward)


@caught_by("kernel")
def rollback_forgets_what_was_running(patch):
    """A step that succeeds while the run is already to be rolled back stays done."""
    succeeded = folding._FOLDS[ev.StepSucceeded]

    def forget(state, event):
        succeeded(state, event)
        if state.rolling and event.step in state.undo_queue:
            state.undo_queue.remove(event.step)

    patch.setitem(folding._FOLDS, ev.StepSucceeded, forget)


@caught_by("conductors")
def rollback_overrides_newer_versions(patch):
    """A rollback gives back the former version, whoever has published since."""
    undone = Book._undone

    def override(self, commit, event):
        partition = self.state.plan.steps[event.step].partition
        for asset, own, _ in self.state.swaps.get(event.step, ()):
            if version := self._store.version(asset, partition, own):
                self._catalogue.publish(head_of(version))
        undone(self, commit, event)

    patch.setitem(booking._WRITERS, ev.StepUndone, override)


def _close_when_asked(turn):
    if not turn.state.cancelling or any(isinstance(event, ev.CancelRequested) for event in turn.events):
        deciding.close_waiting(turn)


def _close_halted(turn):
    if not turn.state.cancelling:
        deciding.close_waiting(turn)


def _with(module, name, value, act):
    """The rule, with one name of its module replaced while it runs."""

    def acting(turn, told):
        former = getattr(module, name)
        setattr(module, name, value)
        try:
            act(turn, told)
        finally:
            setattr(module, name, former)

    return acting
