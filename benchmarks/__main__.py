"""`python -m benchmarks [--short] [ROW ...]`: measure, print the table, and fail where a figure is far beyond its budget."""

from __future__ import annotations

import sys
import time

from benchmarks.measure import Result
from benchmarks.rows import ROWS

SHORT = 0.2
"""The short form's share of the full sizes; it fails only where a figure is worse than twice its budget: machines are noisy."""


def main() -> int:
    """Measure the rows that were asked for, or all."""
    short = "--short" in sys.argv
    names = [name for name in sys.argv[1:] if not name.startswith("-")] or list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        print(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}", file=sys.stderr)
        return 2
    results = []
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        start = time.perf_counter()
        results.append(ROWS[name](SHORT if short else 1.0))
        print(f"  {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    show(results)
    limit = 2.0 if short else 1.0
    missed = [result.name for result in results if result.strain > limit]
    if missed:
        print(f"beyond {'twice the' if short else 'the'} budget: {'; '.join(missed)}")
    return 1 if missed else 0


def show(results: list[Result]) -> None:
    """Print the table."""
    rows = [("what", "measured", "floor", "ratio", "budget", "")]
    rows += [(r.name, r.figure, r.floor, r.ratio, r.budget, "ok" if r.strain <= 1 else "MISSED") for r in results]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for number, row in enumerate(rows):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths[:5]))


if __name__ == "__main__":
    sys.exit(main())
