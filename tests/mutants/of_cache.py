"""Broken variants of the cache: results that count and should not, and what they may not cost."""

from __future__ import annotations

from marks import caught_by

from legato.declare.node import Cache
from legato.kernel import events as ev
from legato.kernel import fold as folding
from legato.kernel.state import READY, RunState
from legato.runtime import book as booking
from legato.runtime import cache as caching
from legato.runtime.cache import ResultCache


@caught_by("caches")
def results_are_never_too_old(patch):
    """How old a result may be is not looked at."""
    patch.setattr(Cache, "ttl_s", None)


@caught_by("caches", "worlds")
def other_inputs_have_the_same_results(patch):
    """The key is made of node and code alone."""
    patch.setattr(caching, "_inputs", lambda order: [])


@caught_by("caches")
def other_code_has_the_same_results(patch):
    """The key is made of node and inputs alone."""
    patch.setattr(caching, "_code", lambda node: "")


@caught_by("caches", "worlds")
def what_is_rolled_back_stays_in_the_cache(patch):
    """A rollback takes nothing out of the cache."""
    patch.setitem(booking._WRITERS, ev.RunHalted, lambda self, commit, event: None)


@caught_by("caches")
def what_stands_in_is_kept_like_the_work_itself(patch):
    """What a fallback made is found by later runs."""
    prepare = ResultCache.prepare

    def keep(self, state, order):
        known = self._keys.get(order.run, {}).get(order.step)
        order = prepare(self, state, order)
        if known:
            self._keys[order.run][order.step] = known
        return order

    patch.setattr(ResultCache, "prepare", keep)


@caught_by("caches")
def hands_on_what_is_gone(patch):
    """Whether a stored value is still there is not looked at."""
    patch.setattr(ResultCache, "_gone", lambda self, ref: "")


@caught_by("caches")
def forced_runs_take_from_the_cache(patch):
    """That everything is to be made anew is not looked at."""
    find = ResultCache._find

    def anyway(self, state, index, now):
        object.__setattr__(state, "plan", _unforced(state.plan))
        return find(self, state, index, now)

    patch.setattr(ResultCache, "_find", anyway)


@caught_by("kernel")
def undoes_what_another_run_did(patch):
    """A rollback runs the undo of steps whose result an earlier run made."""
    succeeded = folding._FOLDS[ev.StepSucceeded]

    def forget(state, event):
        succeeded(state, event)
        state.cached.discard(event.step)

    patch.setitem(folding._FOLDS, ev.StepSucceeded, forget)


@caught_by("kernel")
def recalls_for_runs_that_are_stopped(patch):
    """A step that is ready takes a result in a halted run, too."""
    patch.setattr(RunState, "takes", lambda self, index: self.status[index] == READY)


@caught_by("kernel")
def a_key_is_a_try(patch):
    """An attempt that only says a key counts."""
    keyed = folding._FOLDS[ev.StepKeyed]

    def count(state, event):
        keyed(state, event)
        state.attempts[event.step] += 1

    patch.setitem(folding._FOLDS, ev.StepKeyed, count)


@caught_by("kernel")
def says_its_key_again_and_again(patch):
    """A key that is recorded is forgotten."""
    keyed = folding._FOLDS[ev.StepKeyed]

    def forget(state, event):
        keyed(state, event)
        state.keys.pop(event.step, None)

    patch.setitem(folding._FOLDS, ev.StepKeyed, forget)


@caught_by("kernel")
def a_retry_that_was_recalled_is_lost_in_a_replay(patch):
    """A result counts only for a step that is ready by an event: that a retry became due is none."""
    succeeded = folding._FOLDS[ev.StepSucceeded]

    def ready_alone(state, event):
        if not event.cached or state.status[event.step] == READY:
            succeeded(state, event)

    patch.setitem(folding._FOLDS, ev.StepSucceeded, ready_alone)


def _unforced(plan):
    from msgspec.structs import replace

    return replace(plan, force=False)
