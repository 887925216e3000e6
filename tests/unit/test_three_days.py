"""A laptop that was closed for three days: each catch-up policy does what it says, and the decisions say why."""

from __future__ import annotations

from itertools import pairwise

from test_ticker import HOUR, Site, make_project

from legato.declare.moment import Every
from legato.terms.instant import Instant
from legato.triggers.events import Fired, Skipped
from legato.triggers.words import explain

DAYS = 3


def closed_for_three_days() -> Site:
    """A service that ticked once, was gone for three days, and is back."""
    site = Site(make_project(**{policy: Every(seconds=HOUR, catch_up=policy) for policy in ("latest", "all", "none")}))
    site.wait(HOUR)
    for run in site.submit():
        site.end(run)
    site.now = Instant(site.now + int(DAYS * 24 * HOUR * 1e6))
    site.start()
    site.wait(61.0)  # on waking nobody looks at once
    return site


def missed(site: Site, policy: str) -> list[Fired | Skipped]:
    return site.decisions(policy)[1:]


def test_all_makes_a_run_for_every_tick_that_was_missed() -> None:
    made = missed(closed_for_three_days(), "all")
    assert [type(each) for each in made] == [Fired] * DAYS * 24
    assert [later.at - sooner.at for sooner, later in pairwise(made)] == [HOUR * 1e6] * (DAYS * 24 - 1)


def test_latest_makes_one_run_and_says_what_it_stands_for() -> None:
    made = missed(closed_for_three_days(), "latest")
    assert sum(isinstance(each, Fired) for each in made) == 1
    (skipped,) = [each for each in made if isinstance(each, Skipped)]
    assert (skipped.why, skipped.ticks) == ("catch-up", DAYS * 24 - 1)
    assert "stands for" in explain(skipped)


def test_none_makes_no_run_and_says_so() -> None:
    made = missed(closed_for_three_days(), "none")
    assert all(isinstance(each, Skipped) for each in made)
    assert sum(each.ticks for each in made if isinstance(each, Skipped)) == DAYS * 24
    assert all(each.why == "catch-up" for each in made if isinstance(each, Skipped))
    assert "catch-up none" in explain(made[0])


def test_it_goes_on_as_before() -> None:
    site = closed_for_three_days()
    for run in site.submit():
        site.end(run)
    for _ in range(120):
        site.wait(30.0)
    assert all(isinstance(site.decisions(policy)[-1], Fired) for policy in ("latest", "all", "none"))
