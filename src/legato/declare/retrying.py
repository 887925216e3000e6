"""What can be wrong with a `Retry` as it is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from legato.declare.node import Backoff, Kind, Retry


def faults_of_retry(retry: Retry, kind: Kind) -> Iterator[tuple[str, str]]:
    """What is wrong with it, each with a hint; whether `max_time` is a duration is for others to say."""
    if retry.times is None and retry.max_time is None:
        yield "nothing ends its tries: it has neither times nor max_time", 'write lg.Retry(3, ...) or lg.Retry(max_time="2h")'
    elif retry.times is not None and (type(retry.times) is not int or retry.times < 0):
        yield f"retries={retry.times!r} is not a number of tries", "write retries=3 or lg.Retry(3, ...)"
    if not (_is_length(retry.delay_s) and _is_length(retry.max_delay_s)):
        yield "a delay between tries is negative, or no number", "write a delay of 0 or more seconds"
    if retry.backoff not in get_args(Backoff):
        yield f"backoff={retry.backoff!r} is unknown", "write fixed, linear or exponential"
    if retry.until is not None and (not callable(retry.until) or isinstance(retry.until, type)):
        yield f"until={retry.until!r} is not a function", "write until=a function of the result, or a lambda"
    elif retry.until is not None and kind == "flow":
        yield "until= is of no use on a flow: entered again, it finds the results of its calls as they are", "put it on a task"


def _is_length(seconds: Any) -> bool:
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0
