"""The parameters of a flow among the words of a command: `legato run new_leads --min-volume 50`."""

from __future__ import annotations

from typing import Any

import click

from legato.declare.resolve import did_you_mean
from legato.service.params import parameters_of, read_options
from legato.service.request import Request
from legato.service.workspace import Workspace
from legato.terms.errors import UsageError


def takes_params(made: click.Command) -> click.Command:
    """Let a command with `selection` take options that it does not know, and `--param` for those that bear a name of its own."""
    made.ignore_unknown_options = True
    option = click.Option(
        ["--param"], multiple=True, metavar="NAME=VALUE", help="A parameter of the flow, also where its name is an option's."
    )
    made.params.insert(1, option)
    return made


def takes_results(function: Any) -> Any:
    """The options of a command that can take over results of earlier runs."""
    start = click.option("--from", "start", nargs=2, metavar="STEP RUN", help="Repeat RUN from STEP; reuse what came before.")
    pin = click.option("--pin", "pins", multiple=True, metavar="STEP=RUN", help="Reuse what STEP gave in RUN.")
    return start(pin(function))


def takes_code(function: Any) -> Any:
    """The option of commands that take a run up again."""
    text = "With the code that RUN worked with then, or with that of now."
    return click.option("--code", type=click.Choice(["then", "now"]), help=text)(function)


def read_request(
    workspace: Workspace, words: tuple[str, ...], force: bool, param: tuple[str, ...], start: tuple[str, str] | None,
    pins: tuple[str, ...],
) -> Request:  # fmt: skip
    """What the words ask for: a selection, and behind it the parameters of the one flow that it names."""
    cut = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    selection, options = words[:cut], [*words[cut:], *(f"--{each}" for each in param)]
    if not options:
        return Request(" ".join(selection), force, start=start, pins=pins)
    nodes = workspace.project.nodes
    flows = [word for word in dict.fromkeys(" ".join(selection).split()) if word in nodes and nodes[word].kind == "flow"]
    if len(flows) != 1:
        raise _unknown(options[0], flows)
    params = read_options(flows[0], parameters_of(workspace, flows[0]), options)
    return Request(" ".join(selection), force, params, start, pins)


def _unknown(word: str, flows: list[str]) -> UsageError:
    """That an option is none of the command's, where no one flow could take it."""
    context = click.get_current_context()
    option = word.partition("=")[0]
    known = [each.lstrip("-") for param in context.command.params for each in param.opts if each.startswith("--")]
    why = f"of {len(flows)} flows it could belong to any" if flows else "only a flow that is named has parameters of its own"
    near = did_you_mean(option.lstrip("-"), known).replace("`", "`--", 1)
    return UsageError("usage", f"no such option: {option}", why=near or why, next=f"{context.command_path} --help")
