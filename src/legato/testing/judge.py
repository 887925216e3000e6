"""Verdicts without a run: what would the gate say of this value?"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from legato.declare.faces import CheckFace, CheckSet, Face
from legato.declare.node import Check
from legato.declare.resolve import did_you_mean
from legato.quality.checks import judge_builtins, verdict_of
from legato.quality.contract import judge_contract
from legato.terms.errors import InvalidProject, LegatoError
from legato.terms.fact import Verdict


def judge(face: Face[..., Any], value: Any, /, **inputs: Any) -> list[Verdict]:
    """The verdicts that an asset's contract, its built-in checks and its check functions give on a value, in this order.

    `inputs` is whatever else the check functions ask for, by the names of their parameters: other assets, a partition, a
    resource. They and the value are handed on as they are. Nothing is loaded, stored or run, and no version is there to compare
    with, so a contract's compatibility is not judged. Checks are those that were declared with the face itself; one that was
    declared with the asset's name (`lg.check("delays", ...)`) is known to the project alone.
    """
    asset = _asset_of(face)
    sets = [each for each in face.checks if isinstance(each, CheckSet)]
    functions = [each for each in face.checks if isinstance(each, CheckFace)]
    faults = [*face.faults, *(fault for each in face.checks for fault in each.faults)]
    if faults:
        raise InvalidProject(faults)
    _refuse_unasked(asset, functions, inputs)
    contract = face.node.contracts.get(asset)
    verdicts = judge_contract(value, contract) if contract is not None else []
    verdicts += judge_builtins(value, [rule.check(asset, each.place) for each in sets for rule in each.rules])
    return verdicts + [_ask(each, asset, value, inputs) for each in functions]


def _asset_of(face: Any) -> str:
    """The one asset that the face makes."""
    if isinstance(face, Face) and face.node.kind == "asset" and len(face.node.outputs) == 1:
        return face.node.outputs[0]
    why = f"it makes {', '.join(face.node.outputs)}" if isinstance(face, Face) and face.node.kind == "asset" else ""
    raise LegatoError("judge-asset", f"{face!r} is not one asset", why=why, next="judge what @lg.asset declares")


def _refuse_unasked(asset: str, functions: list[CheckFace[..., Any]], inputs: dict[str, Any]) -> None:
    asked = {param for each in functions for param in inspect.signature(each.fn).parameters}
    for name in inputs:
        if name not in asked:
            raise LegatoError(
                "judge-input", f"no check of {asset} asks for {name!r}", why=did_you_mean(name, asked), next="leave it out"
            )


def _ask(declared: CheckFace[..., Any], asset: str, value: Any, inputs: dict[str, Any]) -> Verdict:
    """The verdict of a check function: the parameter named after the asset, or else the first that is open, takes the value."""
    parameters = inspect.signature(declared.fn).parameters
    given = {name: inputs[name] for name in parameters if name in inputs and name != asset}
    still_open = [name for name, each in parameters.items() if name not in given and each.default is each.empty]
    target = asset if asset in parameters else next(iter(still_open), None)
    missing = [name for name in still_open if name != target]
    if missing:
        raise LegatoError(
            "judge-input", f"check {declared.name} of {asset} asks for {', '.join(missing)}", where=declared.place,
            next=f"judge({asset}, value, {', '.join(f'{name}=...' for name in missing)})",
        )  # fmt: skip
    if target is not None:
        given[target] = value
    check = Check(declared.name, asset, declared.severity)
    try:
        returned = declared.fn(**given)
        return verdict_of(check, asyncio.run(returned) if inspect.iscoroutine(returned) else returned)
    except Exception as error:
        return verdict_of(check, None, error)
