"""Gives verdicts: of built-in checks on a table, and of what a user's check function returned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from legato.declare.node import Check
from legato.quality.findings import FINDERS, Finding, Unjudgeable, find
from legato.quality.literal import plain
from legato.quality.schema import as_polars, describe, first_rows, is_table, rows_of
from legato.terms.errors import LegatoError
from legato.terms.fact import Severity, Verdict

SAMPLE_ROWS = 5
SAMPLE_COLUMNS = 12
SINGULAR = {"have": "has", "share": "shares", "do": "does"}


class Question(NamedTuple):
    """A built-in check (but row_count) to be answered by a verdict of this name and severity."""

    kind: str
    args: dict[str, Any]
    name: str
    severity: Severity = "block"


def judge_builtins(value: Any, checks: Sequence[Check]) -> list[Verdict]:
    """The verdicts of built-in checks on a table, in their order. What cannot be judged fails, with the reason.

    The table is read once for all of them. Raises `value-type` where it cannot be converted: polars is missing, or a
    column's values share no type.
    """
    for check in checks:
        if check.kind != "row_count" and check.kind not in FINDERS:
            known = ", ".join(["row_count", *FINDERS])
            raise LegatoError("check", f"{check.kind!r} is no built-in check", next=f"use one of {known}")
    if not is_table(value):
        words = f"the value is {describe(value)}, not a table"
        return [_failing(check, f"{words}: {check.kind} judges rows and columns") for check in checks]
    rowwise = [check for check in checks if check.kind != "row_count"]
    asked = [Question(check.kind, check.args, check.name, check.severity) for check in rowwise]
    answers = iter(judge_frame(as_polars(value), asked) if asked else [])
    return [_count_rows(value, check) if check.kind == "row_count" else next(answers) for check in checks]


def judge_frame(frame: Any, questions: Sequence[Question]) -> list[Verdict]:
    """The verdicts on a polars DataFrame, in the order of the questions; all rows are looked at once for all of them."""
    import polars as pl

    found = [_find(frame, question) for question in questions]
    findings = [each for each in found if isinstance(each, Finding)]
    try:
        counts = iter(_count(frame, findings))
    except pl.exceptions.PolarsError:
        if len(questions) > 1:  # one of them cannot be evaluated: ask one by one to learn which
            return [verdict for question in questions for verdict in judge_frame(frame, [question])]
        counts = iter([])
    verdicts = []
    for question, each in zip(questions, found, strict=True):
        try:
            verdicts.append(_verdict(frame, question, each, next(counts, None)) if isinstance(each, Finding) else each)
        except pl.exceptions.PolarsError as error:
            verdicts.append(_unjudgeable(question, error))
    return verdicts


def _find(frame: Any, question: Question) -> Finding | Verdict:
    """The finding of a question, or the failing verdict that says why there is none."""
    import polars as pl

    try:
        return find(frame, question.kind, question.args)
    except Unjudgeable as reason:
        return Verdict(question.name, False, question.severity, str(reason))
    except pl.exceptions.PolarsError as error:
        return _unjudgeable(question, error)


def _verdict(frame: Any, question: Question, finding: Finding, counts: tuple[int, int] | None) -> Verdict:
    """The verdict by the counts of offending and of judged rows; counted here, on its own, where there are none yet."""
    failed, total = counts or _count(frame, [finding])[0]
    name, severity = question.name, question.severity
    if not failed:
        return Verdict(name, True, severity, _passing(total), 0, total)
    sample = _sample(frame.lazy().filter(finding.offends).head(SAMPLE_ROWS).collect(), finding)
    verb = finding.verb if failed > 1 else SINGULAR[finding.verb]
    message = f"{failed:,} of {_rows(total)} {verb} {finding.what}"
    return Verdict(name, False, severity, message, failed, total, finding.where, sample)


def _unjudgeable(question: Question, error: Exception) -> Verdict:
    return Verdict(question.name, False, question.severity, f"{question.kind} cannot be judged: {_first_line(error)}")


def verdict_of(check: Check, returned: Any, error: BaseException | None = None) -> Verdict:
    """The verdict that a check function's return stands for.

    True or False (numpy's too), a pair of that and a message, a Verdict, or a table of offending rows, which passes
    when empty. An error, or anything else, fails. A Verdict may weaken the declared severity, never raise it.
    """
    if error is not None:
        return _failing(check, f"the check raised {type(error).__name__}: {_first_line(error)}")
    if isinstance(returned, Verdict):
        severity: Severity = "warn" if "warn" in (returned.severity, check.severity) else "block"
        return replace(returned, check=check.name, severity=severity, sample=[plain(row) for row in returned.sample])
    if is_table(returned):
        return _verdict_of_rows(check, returned)
    answer, message = returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, "")
    if not _is_bool(answer) or not isinstance(message, str):
        return _failing(check, _refusal(returned))
    return Verdict(check.name, bool(answer), check.severity, message or ("" if answer else "the check returned False"))


def _verdict_of_rows(check: Check, rows: Any) -> Verdict:
    try:
        failed, first = rows_of(rows), first_rows(rows, SAMPLE_ROWS)
    except Exception as error:  # a LazyFrame or a relation runs the user's query only now
        return _failing(check, f"the check's offending rows cannot be read: {_first_line(error)}")
    if not failed:
        return Verdict(check.name, True, check.severity, "no offending rows")
    sample = [plain(dict(list(row.items())[:SAMPLE_COLUMNS])) for row in first]
    return Verdict(check.name, False, check.severity, f"{_rows(failed, 'offending row')}", failed, sample=sample)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or (type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"))


def _refusal(returned: Any) -> str:
    what = describe(returned)
    hint = "; is a return missing?" if returned is None else ""
    wanted = "a bool, (bool, message), a Verdict or a table of offending rows"
    return f"the check returned {what}{hint} (a check returns {wanted})"


def _count_rows(value: Any, check: Check) -> Verdict:
    low, high = check.args.get("low"), check.args.get("high")
    rows = rows_of(value)
    if (low is None or rows >= low) and (high is None or rows <= high):
        return Verdict(check.name, True, check.severity, _rows(rows), 0, rows)
    bounds = [f"at least {low:,}" if low is not None else "", f"at most {high:,}" if high is not None else ""]
    wanted = " and ".join(filter(None, bounds))
    return Verdict(check.name, False, check.severity, f"{_rows(rows)}; expected {wanted}", 0, rows)


def _count(frame: Any, findings: Sequence[Finding]) -> list[tuple[int, int]]:
    """How many rows offend and how many are judged, for each finding: one pass for all that look at rows one by one."""
    import polars as pl

    flags = {}
    for number, finding in enumerate(findings):
        if not finding.groups:
            flags[f"offends {number}"], flags[f"judged {number}"] = finding.offends, finding.judged
    sums = iter(frame.lazy().select(**flags).select(pl.all().sum()).collect().row(0) if flags else ())
    return [
        _count_equals(frame, finding) if finding.groups else (int(next(sums) or 0), int(next(sums) or 0)) for finding in findings
    ]


def _count_equals(frame: Any, finding: Finding) -> tuple[int, int]:
    """The same for `unique`: grouping once is far cheaper than a window over every row."""
    import polars as pl

    groups = frame.lazy().filter(finding.judged).group_by(finding.columns).agg(pl.len().alias("rows in group"))
    sizes = groups.select("rows in group").collect().to_series()
    return int(sizes.filter(sizes > 1).sum()), int(sizes.sum())


def _sample(rows: Any, finding: Finding) -> list[dict[str, Any]]:
    """Offending rows as plain values, the judged columns first."""
    others = [column for column in rows.columns if column not in finding.columns]
    shown = [*finding.columns, *others][: max(SAMPLE_COLUMNS, len(finding.columns))]
    return [plain(row) for row in rows.select(shown).to_dicts()]


def _failing(check: Check, message: str) -> Verdict:
    return Verdict(check.name, False, check.severity, message)


def _passing(total: int) -> str:
    return f"{_rows(total)} {'passes' if total == 1 else 'pass'}" if total else "no rows to judge"


def _rows(count: int, noun: str = "row") -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
