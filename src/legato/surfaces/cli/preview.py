"""How the preview of a backfill is drawn."""

from __future__ import annotations

from legato.service.backfilling import Part, Preview
from legato.service.folding import Fold
from legato.surfaces.cli.output import Screen, count, size_in_words
from legato.terms.instant import format_seconds


def draw_preview(screen: Screen, found: Preview, folds: list[Fold], most: int | None = None) -> None:
    """What a backfill makes, how long it takes and how much it is."""
    parts = {part.node: part for part in found.parts}
    shown = folds if most is None else folds[:most]
    rows = [
        (
            screen.paint("make" if fold.run else "skip", "cyan" if fold.run else "dim"),
            screen.paint(fold.node, *(("bold",) if fold.run else ())), fold.partitions,
            f"{fold.count:,}", *_each(parts.get(fold.node) if fold.run else None, fold.count), fold.words,
        )
        for fold in shown
    ]  # fmt: skip
    screen.table(("", "name", "partitions", "steps", "time", "size", "reason"), rows, right=("steps", "time", "size"))
    if len(shown) < len(folds):
        screen.say(f"and {count(len(folds) - len(shown), 'more line')}, all of them with --plan")
    for line in _totals(found):
        screen.say(line)


def _each(part: Part | None, number: int) -> tuple[str, str]:
    """What so many partitions of a node take together, and how large they are."""
    if part is None:
        return "", ""
    seconds = "" if part.seconds is None else format_seconds(part.seconds * number)
    return seconds, "" if part.size_bytes is None else size_in_words(part.size_bytes * number)


def _totals(found: Preview) -> list[str]:
    made = found.requested - found.blocked
    rest = [(found.fresh, "fresh"), (found.blocked, "without input (+NAME also makes what it needs)")]
    left = ", ".join(f"{number:,} {words}" for number, words in rest if number)
    if not made:
        return [f"nothing to make: {left or 'there are no partitions yet'}"]
    ends = f": {found.first}" + (f" ... {found.last}" if made > 1 else "")
    place = "taking turns with other work" if found.urgent else "behind all other work"
    return [
        f"{count(made, 'step')} to make" + (f", {left}" if left else ""),
        f"{found.order} first{ends}, at most {found.at_once} at once, {place}",
        _cost(found),
    ]


def _cost(found: Preview) -> str:
    """Time and volume, as far as history tells."""
    made = found.requested - found.blocked
    if found.unknown == made:
        return "no history yet to say how long it takes, and how much it is"
    time = f"about {format_seconds(found.lasts_s)} ({format_seconds(found.work_s)} of work)"
    more = f", and {count(found.unknown, 'step')} without history" if found.unknown else ""
    size = f"; about {size_in_words(found.size_bytes)} of data" if found.size_bytes else ""
    return f"{time}{more}{size}"
