"""Whatever the command line can do, the API can: by these routes, or here stands why not."""

from __future__ import annotations

from typing import Any

import pytest
from http_site import schema

from legato.surfaces.cli.main import COMMANDS
from legato.surfaces.http.gate import API

ROUTES: dict[str, tuple[str, ...]] = {
    "check": ("GET /faults",),
    "list": ("GET /catalogue",),
    "show": ("GET /node", "GET /lineage"),
    "status": ("GET /status", "GET /runs/{run}", "GET /runs/{run}/steps", "GET /runs/{run}/attempts"),
    "why": ("GET /why", "GET /troubles"),
    "diff": ("GET /diff", "GET /projects"),
    "plan": ("POST /plan",),
    "run": ("POST /runs",),
    "backfill": ("GET /backfills", "GET /backfills/{run}", "POST /backfills", "POST /backfills/preview"),
    "resume": ("POST /runs/{run}/resume", "GET /runs/{run}/resumption"),
    "cancel": ("POST /runs/{run}/cancel",),
    "waits": ("GET /waits",),
    "approve": ("POST /runs/{run}/waits/{step}",),
    "signal": ("POST /runs/{run}/signals",),
    "runs": ("GET /runs",),
    "logs": ("GET /runs/{run}/log", "GET /runs/{run}/log/search"),
    "facts": ("GET /runs/{run}/facts", "GET /series"),
    "triggers": ("GET /triggers",),
    "next": ("GET /next",),
    "decisions": ("GET /decisions",),
    "pause": ("POST /triggers/pause", "POST /runs/{run}/pause"),
    "unpause": ("POST /triggers/unpause",),
    "versions": ("GET /versions",),
    "rollback": ("POST /rollback",),
    "keys": ("GET /keys", "GET /key-set", "POST /keys"),
    "users": ("GET /users", "POST /users"),
    "tokens": ("GET /tokens", "POST /tokens", "DELETE /tokens/{token}"),
    "login-link": ("POST /links", "POST /login"),
    "audit": ("GET /audit",),
    "api": ("GET /openapi",),
    "doctor": ("GET /doctor",),
    "explain": ("GET /explain",),
}
WITHOUT = {
    "init": "it makes the project that a service is of",
    "demo": "it makes a project",
    "up": "it is the service",
    "dev": "it is the service",
    "query": "whoever asks in SQL reads the data with memory of their own, and the web process opens no data",
    "export": "a file for whoever runs the machine: it holds all data, also what no role may read",
    "restore": "it makes what a service would be of",
    "clean": "the service does it by itself, a little at a time",
}
OWN = {"GET /health", "GET /ready", "GET /me", "GET /project", "POST /logout", "GET /changes"}
"""What only a service has: who is there, who I am, what happens."""


def routes(made: dict[str, Any]) -> set[str]:
    paths = {path.removeprefix(API): methods for path, methods in made["paths"].items() if path.startswith(API)}
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_its_routes_or_a_reason(command: str) -> None:
    assert (command in ROUTES) != (command in WITHOUT), f"say in this file how the API does what `legato {command}` does"


def test_the_routes_are_there_and_none_is_left_over() -> None:
    told = {route for each in ROUTES.values() for route in each}
    assert told | OWN == routes(schema())
    assert ROUTES.keys() | WITHOUT.keys() == set(COMMANDS)
