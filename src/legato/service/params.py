"""The parameters of a flow: what there are, what was given for them, and how text becomes what they take."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from legato.declare.resolve import did_you_mean
from legato.service.shell import command
from legato.service.workspace import Workspace
from legato.terms.attempt import Argument
from legato.terms.errors import LegatoError, UsageError

if TYPE_CHECKING:
    from legato.declare.snapshot import Parameter


class ParameterShown(Struct, frozen=True, kw_only=True):
    """One parameter of a flow, or argument of a task: its option, type and default (empty if it must be given)."""

    name: str
    option: str
    type: str
    default: str
    required: bool


def parameters_of(workspace: Workspace, name: str) -> tuple[Parameter, ...]:
    """What whoever runs the flow, or calls the task, may give it, in order."""
    return workspace.snapshot.parameters.get(name, ())


def describe(parameters: Sequence[Parameter]) -> tuple[ParameterShown, ...]:
    """The parameters for people."""
    return tuple(
        ParameterShown(
            name=each.name, option=_option(each), type=each.type, default=each.default, required=each.required,
        )
        for each in parameters
    )  # fmt: skip


def arguments_of(workspace: Workspace, selected: Collection[str], params: Mapping[str, Any]) -> dict[str, tuple[Argument, ...]]:
    """What each selected flow is given; `params` are for the one flow that is selected. `UsageError` if they do not fit."""
    flows = [name for name in selected if workspace.project.nodes[name].kind == "flow"]
    if params and len(flows) != 1:
        given = ", ".join(f"`{name}`" for name in params)
        raise UsageError(
            "flow-parameters", f"there is no one flow that could take {given}", next="legato run FLOW --parameter VALUE",
            why=f"the selection has {len(flows)} flows: {', '.join(flows)}" if flows else "only a flow takes parameters",
        )  # fmt: skip
    return {name: _arguments(name, parameters_of(workspace, name), params) for name in flows}


def require_fitting(workspace: Workspace, flow: str, given: Sequence[Argument]) -> None:
    """Refuse parameters of an earlier run that the flow does not have any more, or that lack one that it has now."""
    parameters, names = parameters_of(workspace, flow), {each.param for each in given}
    gone = names - {each.name for each in parameters}
    missing = [each.name for each in parameters if each.required and each.name not in names]
    for name in (*sorted(gone), *missing):
        words = f"{flow} has no parameter `{name}` any more" if name in gone else f"{flow} needs `{name}` by now"
        raise _refusal(flow, parameters, words, "the run that is to be repeated was given others")


def read_options(flow: str, parameters: Sequence[Parameter], words: Sequence[str]) -> dict[str, Any]:
    """The texts in `--min-volume 50 --tag a --tag b --no-dry-run`, by parameter; `UsageError` for what is none of them.

    Paths are meant from the working directory of whoever writes them, which no worker knows.
    """
    from legato.declare.schema import takes_path

    by_name = {each.name: each for each in parameters}
    found: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, equals, text = word.removeprefix("--").partition("=")
        name = option.replace("-", "_")
        negated = name.removeprefix("no_")
        if not word.startswith("--"):
            raise _refusal(flow, parameters, f"`{word}` belongs to no parameter")
        if name in by_name and by_name[name].form == "flag":
            value: Any = text if equals else True
        elif negated in by_name and name not in by_name and by_name[negated].form == "flag" and not equals:
            name, value = negated, False
        elif name not in by_name:
            raise _refusal(flow, parameters, f"{flow} has no parameter `{option}`", did_you_mean(name, by_name))
        elif not equals and (not rest or rest[0].startswith("--")):
            raise _refusal(flow, parameters, f"--{option} has no value")
        else:
            value = text if equals else rest.pop(0)
            value = os.path.abspath(value) if takes_path(by_name[name].schema) else value
        if by_name[name].form == "list":
            found.setdefault(name, []).append(value)
        elif name in found:
            raise _refusal(flow, parameters, f"--{option} is given twice")
        else:
            found[name] = value
    return found


def in_words(params: Mapping[str, Any]) -> str:
    """The parameters as they are written behind `legato run`, each with a blank before it."""
    words: list[str] = []
    for name, value in params.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [f"--{option}", each if isinstance(each, str) else msgspec.json.encode(each, enc_hook=str).decode()]
    return f" {command(*words)}" if words else ""


# -- one flow --


def _arguments(flow: str, parameters: Sequence[Parameter], params: Mapping[str, Any]) -> tuple[Argument, ...]:
    by_name = {each.name: each for each in parameters}
    wrong = [(f"{flow} has no parameter `{name}`", did_you_mean(name, by_name)) for name in params if name not in by_name]
    missing = [each.name for each in parameters if each.required and each.name not in params]
    if missing:
        wrong.append((f"{flow} needs {', '.join(f'`{name}`' for name in missing)}", ""))
    found: list[Argument] = []
    for name in filter(by_name.__contains__, params):
        value = _encoded(by_name[name], params[name])
        if isinstance(value, bytes):
            found.append(Argument(name, value=value))
        else:
            wrong.append(value)
    if len(wrong) == 1:
        raise _refusal(flow, parameters, *wrong[0])
    if wrong:
        told = (f"{what}{f' ({why})' if why else ''}" for what, why in wrong)
        raise _refusal(flow, parameters, f"{len(wrong)} things are wrong with what {flow} is given", "; ".join(told))
    return tuple(found)


def _encoded(parameter: Parameter, value: Any) -> bytes | tuple[str, str]:
    """The value as its annotation asks for it, in MessagePack; or what is wrong with it, and why."""
    try:
        return msgspec.msgpack.encode(_converted(parameter, value))
    except RecursionError:
        return f"what is given for `{parameter.name}` is nested too deep", ""
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, LegatoError) as error:
        shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:79]}…"
        return f"{shown} is no value of `{parameter.name}`, {parameter.type or 'any plain data'}", str(error)


def _converted(parameter: Parameter, value: Any) -> Any:
    """The value as its schema asks for it; what only the user's code can judge stays as it is."""
    if parameter.form == "list" and isinstance(value, str):
        value = [value]
    if parameter.form == "list" and parameter.items == "json":
        value = [msgspec.json.decode(each) if isinstance(each, str) else each for each in value]
    if parameter.form == "json" and isinstance(value, str):
        value = msgspec.json.decode(value)
    if parameter.by_code:
        return value
    if parameter.schema is False:
        raise msgspec.ValidationError(f"Expected `{parameter.type}`, got `{type(value).__name__}`")
    if isinstance(value, str) and value in parameter.names:
        return parameter.names[value]
    from legato.declare.schema import kind_of

    return msgspec.convert(value, kind_of(parameter.schema), strict=False)


def _option(parameter: Parameter) -> str:
    option = parameter.name.replace("_", "-")
    return f"--{option}/--no-{option}" if parameter.form == "flag" else f"--{option}"


def _refusal(flow: str, parameters: Sequence[Parameter], what: str, why: str = "") -> UsageError:
    """What is wrong, with all parameters that the flow has."""
    shown = (
        " ".join(filter(None, (each.option, each.type, each.default and f"= {each.default}"))) for each in describe(parameters)
    )
    told = f"its parameters: {'; '.join(shown)}" if parameters else "it has no parameters"
    return UsageError("flow-parameters", what, why="\n".join(filter(None, (why, told))), next=command("legato", "show", flow))
