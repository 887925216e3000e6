"""Legato: a data orchestrator that keeps the promises your data makes.

    import legato as lg

Importing this starts nothing and loads nothing: each name is fetched when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from legato.declare import mapping, trigger
    from legato.declare.calling import Future, TaskFailed
    from legato.declare.elsewhere import external
    from legato.declare.faces import Input, asset, assets, check, flow, previous, resource, source, task
    from legato.declare.mapping import all_partitions, look_back
    from legato.declare.node import Cache, Retry
    from legato.declare.partitions import Partition, daily, dynamic, hourly, monthly, product, static, weekly
    from legato.declare.pool import Pool, rate
    from legato.declare.resource import Context, Secret, secret
    from legato.declare.rules import (
        column,
        contract,
        expression,
        in_range,
        in_set,
        matches,
        not_null,
        row_count,
        unique,
    )
    from legato.declare.trigger import cron, every, file, keep_fresh, message, updated, webhook
    from legato.declare.waiting import approval, signal, sleep
    from legato.surfaces.python import load
    from legato.terms.errors import LegatoError
    from legato.worker.telling import image, log, markdown, metric, progress, table

__version__ = "0.1.0"

_HOMES = {
    "declare.calling": ("Future", "TaskFailed"),
    "declare.elsewhere": ("external",),
    "declare.faces": ("Input", "asset", "assets", "check", "flow", "previous", "resource", "source", "task"),
    "declare.mapping": ("all_partitions", "look_back", "mapping"),
    "declare.node": ("Cache", "Retry"),
    "declare.partitions": ("Partition", "daily", "dynamic", "hourly", "monthly", "product", "static", "weekly"),
    "declare.pool": ("Pool", "rate"),
    "declare.resource": ("Context", "Secret", "secret"),
    "declare.rules": (
        "column", "contract", "expression", "in_range", "in_set", "matches", "not_null", "row_count", "unique",
    ),
    "declare.trigger": ("cron", "every", "file", "keep_fresh", "message", "trigger", "updated", "webhook"),
    "declare.waiting": ("approval", "signal", "sleep"),
    "surfaces.python": ("load",),
    "terms.errors": ("LegatoError",),
    "worker.telling": ("image", "log", "markdown", "metric", "progress", "table"),
}  # fmt: skip
_HOME_OF = {name: f"legato.{home}" for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - in the order in which one learns them
    "asset", "assets", "source", "task", "flow", "check", "resource", "secret",
    "Partition", "hourly", "daily", "weekly", "monthly", "static", "dynamic", "product",
    "Input", "previous", "look_back", "all_partitions", "mapping",
    "contract", "column", "not_null", "unique", "row_count", "in_range", "in_set", "matches", "expression",
    "cron", "every", "updated", "keep_fresh", "file", "webhook", "message", "trigger",
    "sleep", "approval", "signal", "external",
    "log", "metric", "progress", "table", "markdown", "image",
    "load", "Retry", "Cache", "Pool", "rate", "Context", "Secret", "Future", "TaskFailed", "LegatoError",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module 'legato' has no attribute {name!r}") from None
    module = import_module(home)
    value = globals()[name] = module if home.endswith(f".{name}") else getattr(module, name)  # what is rarer, by its module
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
