"""Routes of the project itself and of its health: its versions, what changed, what is wrong, what things mean."""

from __future__ import annotations

from typing import Any

from legato.plan.diff import Difference
from legato.ports.store import ProjectVersion
from legato.service.checkup import Checkup, examine
from legato.service.premises import Premises
from legato.service.projects import diff_projects
from legato.surfaces.explanations import Explanation, find_explanation
from legato.surfaces.http.looking import Asking, Flag, Limit, Number, Words, looking
from legato.surfaces.http.site import entered, site_of
from legato.terms.errors import Fault, InvalidProject


@looking("/projects")
def projects(request: Asking, limit: Limit = 50, before: Words = "") -> list[ProjectVersion]:
    """The versions of the project, the newest first, with when each came into force last; from behind one on."""
    with entered(request) as inside:
        return inside.store.projects(limit=limit, before=before or None)


@looking("/diff")
def diff(request: Asking, older: Words = "", newer: Words = "") -> Difference:
    """What changed from one version of the project to another; by default, between the last two."""
    with entered(request) as inside:
        found = diff_projects(inside.store, older or None, newer or None)
        seen = tuple(each for each in found.changes if inside.may_read_node(each.name))
        return Difference(older=found.older, newer=found.newer, changes=seen)


@looking("/faults")
def faults(request: Asking, limit: Limit = 1_000, start: Number = 0) -> list[Fault]:
    """What is wrong with the project's files, from a place on, counted from 0. While there are faults, an earlier version stays
    in force, or nothing runs."""
    try:
        found = site_of(request).workspace().faults
    except InvalidProject as error:  # there was no sound version yet
        found = tuple(error.faults)
    return list(found[start : start + limit])


@looking("/doctor", "access")
def doctor(request: Asking, deep: Flag = False) -> Checkup:
    """Whether all is sound that the project stands on now. With `deep=true` it reads every page of the store, every stored byte
    and the history of every run, and takes its time."""
    with entered(request) as inside:
        inside.require("access", "the store")
        workspace = inside.workspace
        premises = Premises(
            root=workspace.root, state=workspace.state, storages=workspace.storages, project=workspace.project, fault=None,
            open_reader=inside.site.open_reader, open_writer=workspace.open_writer, find_holder=workspace.find_holder,
        )  # fmt: skip
        return examine(premises, deep=deep)


@looking("/explain")
def explain(request: Asking, word: Words) -> Explanation:
    """What the code of an error, or a word, means."""
    return find_explanation(word)


ROUTES: list[Any] = [projects, diff, faults, doctor, explain]
