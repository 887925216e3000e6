"""Workers that an edition has when it has none."""

from __future__ import annotations

import select

from legato.runtime.asleep import Asleep
from legato.terms.attempt import Order, Returned


def test_it_has_no_places_and_gives_back_what_it_is_handed() -> None:
    asleep = Asleep()
    assert (asleep.workers(), asleep.load(), asleep.free_for_flows(), asleep.place_of("r", 1, 1)) == (0, (), (), None)
    assert asleep.poll(0.0) == []
    asleep.start([Order("r", 1, 7, "n", "")], 0, 1.0)
    assert select.select([asleep.fileno()], [], [], 0)[0], "whoever waits for several hears of it"
    assert asleep.poll(60.0) == [Returned("r", 1, 7)]
    assert asleep.poll(0.0) == []
    asleep.close()


def test_a_poll_that_waits_is_woken() -> None:
    asleep = Asleep()
    asleep.wake()
    assert asleep.poll(60.0) == []
    asleep.close()
    asleep.wake()
    asleep.close()
