"""Published versions from any Python program: a notebook, a test, another project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from legato.terms.errors import NotFound
from legato.terms.key import show


def load(asset: str, partition: str | None = None, *, kind: Any = Any, project: str | Path | None = None) -> Any:
    """The published value of an asset: all its partitions in order of their keys, or just one.

    `kind` is the type to get, as a parameter's annotation would say it: `pl.DataFrame`, `pa.Table`, `Path`, `dict[str, T]` …
    `project` is a folder in the project, the working directory if left out. The project's code is not imported.
    """
    from legato.wiring import open_published

    with open_published(Path(project) if project is not None else Path.cwd()) as (store, storages):
        heads = store.heads([asset])[asset]
        chosen = [heads[key] for key in sorted(heads) if partition is None or key == partition]
        if not chosen:
            name = show(asset, partition or "")
            raise NotFound("query-empty", f"{name} has no published version", next=f"legato run +{name}")
        storage = storages[chosen[0].ref.storage]
        return storage.load(tuple(head.ref for head in chosen), kind, many=list(heads) != [""] and partition is None)
