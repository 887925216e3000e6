"""Published versions from any Python program: a notebook, a test, another project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from legato.terms.errors import NotFound
from legato.terms.key import show

_NOTHING: Any = object()


def load(
    asset: str, partition: str | None = None, *, default: Any = _NOTHING, kind: Any = Any, project: str | Path | None = None
) -> Any:
    """The published value of an asset: all its partitions in order of their keys, or just one; `default` where there is none.

    `kind` is the type to get, as a parameter's annotation would say it: `pl.DataFrame`, `pa.Table`, `Path`, `dict[str, T]` …
    `project` is a folder in the project, the working directory if left out. The project's code is not imported. In a step it
    is no input: nobody else learns of it, and another attempt may read a newer version.
    """
    try:
        return _load(asset, partition, kind, Path.cwd() if project is None else Path(project))
    except NotFound as error:
        if default is _NOTHING or error.code not in ("query-empty", "store-none"):
            raise
        return default


def _load(asset: str, partition: str | None, kind: Any, folder: Path) -> Any:
    from legato.wiring.state import open_published

    with open_published(folder) as (store, storages):
        heads = store.heads([asset])[asset]
        chosen = [heads[key] for key in sorted(heads) if partition is None or key == partition]
        if not chosen:
            name = show(asset, partition or "")
            raise NotFound("query-empty", f"{name} has no published version", next=f"legato why {name}")
        storage = storages[chosen[0].ref.storage]
        return storage.load(tuple(head.ref for head in chosen), kind, many=list(heads) != [""] and partition is None)
