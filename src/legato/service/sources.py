"""Plans of a project whose code is elsewhere: what they need to know of sources is asked first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from legato.plan.records import Plan
from legato.ports.store import Store
from legato.runtime.dispatch import Question
from legato.runtime.inquiry import Then
from legato.service.planning import Planner
from legato.service.workspace import Workspace
from legato.terms.errors import LegatoError

Ask = Callable[[Iterable[Question], Then], None]
"""Asks sources through workers (`Conductor.ask`)."""

Make = Callable[[Planner], Plan]
Planned = Callable[[Planner, Plan], None]


def plan_when_answered(
    workspace: Workspace, store: Store, make: Make, ask: Ask, planned: Planned, refused: Callable[[LegatoError], None]
) -> None:
    """Make a plan: at once where no source is read, else when all that are read have answered. Then call one of the two."""
    answers: dict[Question, str | None] = {}

    def attempt() -> None:
        unknown: dict[Question, None] = {}

        def observe(name: str, key: str) -> str | None:
            if (name, key) not in answers:
                unknown[name, key] = None
            return answers.get((name, key))

        try:
            planner = Planner(workspace if workspace.observe is not None else replace(workspace, observe=observe), store)
            plan = make(planner)
        except LegatoError as error:
            if not unknown:  # with answers it may be no error
                refused(error)
                return
        if unknown:
            ask(unknown, heard)
        else:
            planned(planner, plan)

    def heard(found: dict[Question, str | None], error: LegatoError | None) -> None:
        answers.update(found)
        if error is not None:
            refused(error)
        else:
            attempt()

    attempt()
