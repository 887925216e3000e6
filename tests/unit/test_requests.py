"""What was asked for before, by the words of its run: a key that comes again is told from one that is used twice."""

from __future__ import annotations

from typing import Any

import pytest

from legato.service.request import Filling, Request

JULY = Request("sales", backfill=Filling(begin="2025-06", end="2025-07"))
LOAD = Request("load", params={"day": "2025-06-01", "dry_run": True, "dry_run_of": 3})


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request("+report and not raw_*"),
        Request("sales", True),
        JULY,
        LOAD,
        Request("load", params={"note": "it's --pin a=b"}),
    ],
)
def test_a_request_is_known_by_the_words_of_its_run(request_: Request) -> None:
    assert request_.asked_for(str(request_))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (Request("sales"), Request("sale")),
        (Request("sales"), Request()),
        (Request("sales"), Request("sales", True)),
        (Request("sales"), JULY),
        (JULY, Request("sales", backfill=Filling(begin="2025-08", end="2025-09"))),
        (JULY, Request("sales", backfill=Filling(begin="2025-06", end="2025-07", at_once=2))),
        (JULY, Request("sales", True, backfill=JULY.backfill)),
        (LOAD, Request("load", params={"day": "2025-06-02", "dry_run": True, "dry_run_of": 3})),
        (LOAD, Request("load", params={"day": "2025-06-01", "dry_run": True})),
        (LOAD, Request("load", params={**LOAD.params, "more": 1})),
        (LOAD, Request("load")),
    ],
)
def test_another_request_is_told_from_it(first: Request, then: Request) -> None:
    assert not then.asked_for(str(first))
    assert not first.asked_for(str(then))


def test_parameters_may_come_in_another_order() -> None:
    for params in (dict(reversed(LOAD.params.items())), {"dry_run_of": 3, "day": "2025-06-01", "dry_run": True}):
        assert Request("load", params=params).asked_for(str(LOAD))


def test_of_what_a_run_takes_from_others_the_steps_are_compared_and_not_the_runs() -> None:
    again: dict[str, Any] = {"start": ("score", "last")}
    words = "load --day 2025-06-01 --from score 5w2k8m-4zq1"
    assert Request(**again).asked_for(words)
    assert not Request(start=("rank", "last")).asked_for(words)
    assert not Request(**again).asked_for("load --day 2025-06-01")
    assert Request(**again, pins=("load=last",)).asked_for(f"{words} --pin load=5w2k8m-4zq1")
    assert not Request(**again, pins=("load=last",)).asked_for(words)
    assert Request("score", pins=("load=last",)).asked_for("score --pin load=5w2k8m-4zq1")
    assert not Request("score").asked_for("score --pin load=5w2k8m-4zq1")
    assert not Request("rank", pins=("load=last",)).asked_for("score --pin load=5w2k8m-4zq1")
