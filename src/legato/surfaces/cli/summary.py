"""How a run is told: its counts, what failed and where, what that held up, and the exact next commands."""

from __future__ import annotations

from collections.abc import Sequence

from legato.kernel.standing import Standing
from legato.service.reporting import Failure, Measured, RunReport
from legato.service.shell import command as shell
from legato.surfaces.cli.numbers import in_unit
from legato.surfaces.cli.output import Screen, count, readable
from legato.terms.instant import format_seconds
from legato.terms.key import split_number

MOST_FAILURES = 10
MOST_STEPS, MOST_METRICS = 5, 5
"""Of how many steps the newest metrics are told, and how many of each."""

_ORDER = ("succeeded", "failed", "skipped", "cancelled", "undone", "running")
_LEFT = ("waiting", "ready", "backoff", "held", "parked")
_SKIPPED = {
    "upstream": "skipped because what they read is not there",
    "halted": "skipped because the run was halted",
    "condition": "skipped by their own condition (`when=`)",
    "blocked": "skipped because an input is missing",
}


def draw_summary(screen: Screen, report: RunReport) -> None:
    """The end of a run, or how it stands."""
    screen.say(_headline(screen, report))
    told = [*((each, "failed") for each in report.failures), *((each, "not undone") for each in report.not_undone)]
    for failure, word in told[:MOST_FAILURES]:
        screen.say()
        _draw_failure(screen, failure, word)
    if len(told) > MOST_FAILURES:
        screen.say(f"\nand {count(len(told) - MOST_FAILURES, 'other failure')}: legato status {report.id}")
    if report.warnings:
        screen.say()
    for warning in report.warnings[:MOST_FAILURES]:
        what = warning.example if warning.count == 1 else f"{warning.asset}@{warning.partitions}"
        words = f"{screen.paint(what, 'bold')}: check {warning.check}: {warning.message}"
        screen.say(screen.hang(f"{screen.paint('warned', 'yellow')}  ", words))
    for skip in report.skips:
        screen.say()
        screen.say(screen.hang("", f"{count(skip.count, 'step')} {_SKIPPED[skip.kind]}: {skip.names}"))
    if report.metrics:
        screen.say()
        _draw_metrics(screen, report.metrics)
    steps = next_commands(report)
    if steps:
        screen.say()
        width = max(len(command) for command, _ in steps)
        for number, (command, purpose) in enumerate(steps):
            head = screen.paint("next: ", "dim") if number == 0 else "      "
            screen.say(f"{head}{screen.paint(command.ljust(width), 'bold')}  {screen.paint(purpose, 'dim')}")


def _draw_metrics(screen: Screen, metrics: Sequence[Measured]) -> None:
    """The newest metrics, step by step: of each step some, and of the steps those that told last."""
    by_step: dict[str, list[str]] = {}
    for each in metrics:
        by_step.setdefault(each.name, []).append(f"{readable(each.metric)} {in_unit(each.value, each.unit)}")
    for name, told in list(by_step.items())[-MOST_STEPS:]:
        more = f" and {len(told) - MOST_METRICS} more" if len(told) > MOST_METRICS else ""
        screen.say(
            screen.hang(
                f"{screen.paint('told', 'cyan')}    {screen.paint(name, 'bold')}: ", ", ".join(told[-MOST_METRICS:]) + more
            )
        )


def _headline(screen: Screen, report: RunReport) -> str:
    word = screen.paint(screen.status(in_words(report.state)), "bold")
    took = f" in {format_seconds(report.seconds)}" if report.seconds is not None else ""
    told = in_counts(report.counts, report.cached) if report.backfill is None else in_standing(report.backfill)
    return f"run {report.id} {word}{took}: {told or 'nothing to do'}"


def in_standing(standing: Standing) -> str:
    """How far a backfill is: `120 of 365 done, 3 failed, 242 pending`."""
    rest = [(standing.failed, "failed"), (standing.cancelled, "cancelled"), (standing.pending, "pending")]
    return f"{standing.done:,} of {standing.requested:,} done" + "".join(
        f", {number:,} {word}" for number, word in rest if number
    )


def in_words(state: str) -> str:
    """A run's state as people read it: `rolled back`."""
    return state.replace("_", " ")


def in_counts(counts: dict[str, int], cached: int = 0) -> str:
    """Steps by status: what was done first, and how much of it is from earlier runs; what was fresh before last."""
    left = sum(counts.get(status, 0) for status in _LEFT)
    from_cache = f" ({cached:,} from cache)" if cached else ""
    done = [(counts.get(status, 0), status + (from_cache if status == "succeeded" else "")) for status in _ORDER]
    told = [*done, (left, "left to do"), (counts.get("reused", 0), "reused"), (counts.get("fresh", 0), "fresh before")]
    return ", ".join(f"{number:,} {words}" for number, words in told if number)


def _draw_failure(screen: Screen, failure: Failure, word: str) -> None:
    noun = "partition" if "@" in failure.example else "call"
    what = failure.example if failure.count == 1 else f"{failure.node}: {count(failure.count, noun)}"
    tries = f" after {failure.attempts} tries" if failure.attempts > 1 else ""
    first, _, rest = failure.message.partition("\n")
    screen.say(screen.hang(f"{screen.paint(word, 'red')}  {screen.paint(what, 'bold')}{tries}: ", first))
    for line in rest.splitlines()[:8]:
        screen.say(f"        {line}")
    if failure.count > 1:
        screen.say(screen.hang(f"        {screen.paint('which', 'dim')}    ", failure.partitions))
    if failure.where:
        screen.say(f"        {screen.paint('where', 'dim')}    {failure.where}")
    if failure.skipped:
        held_up = f"{count(failure.skipped, 'step')}: {failure.held_up}"
        screen.say(screen.hang(f"        {screen.paint('held up', 'dim')}  ", held_up))


def next_commands(report: RunReport) -> list[tuple[str, str]]:
    """What to do next, as commands, each with what it is for."""
    facts = [(f"legato facts {report.id}", "all that its steps told")] if report.facts else []
    if report.state == "running":
        pause = [(f"legato pause {report.id}", "let it stand still")] if report.backfill is not None else []
        return [(f"legato logs -f {report.id}", "what it prints"), *pause, (f"legato cancel {report.id}", "stop it")]
    if report.state == "paused":
        return [(f"legato resume {report.id}", "let it go on"), (f"legato cancel {report.id}", "give it up")]
    if report.state == "interrupted":
        return [(f"legato resume {report.id}", "go on where it stopped")]
    if report.state == "succeeded":
        return [("legato list", "what there is now"), *facts]
    if report.not_undone:
        return [
            (shell("legato", "logs", report.id, report.not_undone[0].example), "what its undo printed"),
            (f"legato resume {report.id}", "once that is mended: undo what is left"),
        ]
    found: list[tuple[str, str]] = []
    if report.failures:
        example = report.failures[0].example
        found = [
            (shell("legato", "why", split_number(example)[0]), "what failed, and what to do"),
            (shell("legato", "logs", report.id, example), "what it printed"),
        ]
    blocked = next((skip for skip in report.skips if skip.kind == "blocked"), None)
    if blocked is not None and not found:
        found = [("legato plan status:missing", "which inputs are missing")]
    if report.state == "rolled_back":
        found.append((f"legato resume {report.id}", "do it again, from its start"))
    elif report.state == "cancelled" or report.failures:
        found.append((f"legato resume {report.id}", "try again what did not succeed"))
    return found
