"""Numbers that steps told, in few characters: four digits that count, a unit, a line of small bars."""

from __future__ import annotations

import math
from collections.abc import Sequence

from legato.surfaces.cli.output import readable
from legato.terms.fact import Progress

_BARS = "▁▂▃▄▅▆▇█"


def number(value: float) -> str:
    """A number with the digits that count: `15,000`, `0.123`, `3.142`, `1.5e-07`."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if float(value).is_integer() and size < 1e15:
        return f"{int(value):,}"
    if size < 1 or size >= 1e9:
        return f"{value:.3g}"
    return f"{value:,.{max(0, 3 - int(math.log10(size)))}f}"


def in_unit(value: float, unit: str) -> str:
    """A number with its unit, if it has one."""
    return f"{number(value)} {readable(unit)}".rstrip()


def progress_in_words(progress: Progress) -> str:
    """How far a step says it is: `64/100 fitting`."""
    of = "" if progress.total is None else f"/{number(progress.total)}"
    return f"{number(progress.done)}{of} {readable(progress.message)}".rstrip()


def sparkline(points: Sequence[tuple[int, float]], width: int = 24) -> str:
    """The course of a series (numbers and values) in small bars, each the mean of its part; nothing where there is no course.

    A part of which no value was kept is as the one before it.
    """
    if len(points) < 2:
        return ""
    count = max(number for number, _ in points)
    parts: list[list[float]] = [[] for _ in range(min(width, count))]
    for number, value in points:
        parts[(number - 1) * len(parts) // count].append(value)
    means: list[float] = []
    for part in parts:
        means.append(sum(part) / len(part) if part else means[-1] if means else points[0][1])
    low, high = min(means), max(means)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((mean - low) * scale)] for mean in means)
