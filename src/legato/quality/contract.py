"""Judges a table by its contract: its columns, their types and values, and what a new schema would break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from legato.declare.contract import Contract, ContractColumn
from legato.quality.checks import Question, judge_frame
from legato.quality.schema import as_polars, breaks, columns_of, describe, is_table
from legato.terms.fact import Column, Verdict


def judge_contract(value: Any, contract: Contract, published: tuple[Column, ...] | None = None) -> list[Verdict]:
    """One failing verdict for each rule that the table breaks, or one passing verdict named `contract`.

    Verdicts are named `contract.columns`, `contract.extra`, `contract.compatibility`, and `contract.COLUMN.RULE` with
    the rules type, nulls, unique, range, among, pattern. `published` are the columns of the version that readers see.
    """
    if not is_table(value):
        return [Verdict("contract", False, message=f"the value is {describe(value)}, not a table")]
    frame = as_polars(value)
    found = columns_of(frame)
    broken = [*_judge_shape(found, contract), *_judge_columns(frame, found, contract)]
    if published:
        faults = breaks(_promised(published, contract), _promised(found, contract), contract.compatibility)
        if faults:
            message = f"the schema is not {contract.compatibility} compatible: {'; '.join(faults)}"
            broken.append(Verdict("contract.compatibility", False, message=message))
    count = len(contract.columns)
    kept = f"{count} column{'' if count == 1 else 's'} as the contract says"
    return broken or [Verdict("contract", True, message=kept, total=frame.height)]


def _promised(columns: tuple[Column, ...], contract: Contract) -> tuple[Column, ...]:
    """The columns with the nulls that the contract allows: that one day held none promises nothing to readers."""
    nulls = {rule.name: rule.nulls for rule in contract.columns}
    return tuple(Column(column.name, column.type, nulls.get(column.name, True)) for column in columns)


def _judge_shape(found: tuple[Column, ...], contract: Contract) -> Iterator[Verdict]:
    """Columns that are missing, and those that should not be there."""
    has, wants = [column.name for column in found], [rule.name for rule in contract.columns]
    missing = [name for name in wants if name not in has]
    if missing:
        yield Verdict("contract.columns", False, message=f"missing {_columns(missing)}; the table has {', '.join(has)}")
    extra = [name for name in has if name not in wants]
    if extra and contract.extra == "forbid":
        yield Verdict("contract.extra", False, message=f"{_columns(extra)} not in the contract, which forbids others")


def _judge_columns(frame: Any, found: tuple[Column, ...], contract: Contract) -> Iterator[Verdict]:
    types = {column.name: column.type for column in found}
    asked: list[Question] = []
    for rule in contract.columns:
        kind = types.get(rule.name)
        if kind is None:
            continue
        if rule.type and kind not in (rule.type, "null"):
            message = f"column {rule.name} is {kind}, the contract says {rule.type}"
            yield Verdict(f"contract.{rule.name}.type", False, message=message)
            continue
        asked += [Question(check, args, f"contract.{rule.name}.{word}") for word, check, args in _checks_of(rule)]
    yield from (verdict for verdict in judge_frame(frame, asked) if not verdict.passed)


def _checks_of(rule: ContractColumn) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The built-in checks that a column's rules amount to: (word for the rule, kind of check, arguments)."""
    if not rule.nulls:
        yield "nulls", "not_null", {"columns": [rule.name]}
    if rule.unique:
        yield "unique", "unique", {"columns": [rule.name]}
    if rule.low is not None or rule.high is not None:
        yield "range", "in_range", {"column": rule.name, "low": rule.low, "high": rule.high}
    if rule.among:
        yield "among", "in_set", {"column": rule.name, "values": list(rule.among)}
    if rule.pattern:
        yield "pattern", "matches", {"column": rule.name, "pattern": rule.pattern}


def _columns(names: list[str]) -> str:
    return f"column{'' if len(names) == 1 else 's'} {', '.join(names)}"
