"""Contracts: the columns, types and rules that every version of an asset must satisfy."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Compatibility = Literal["backward", "forward", "full", "none"]


class ContractColumn(Struct, frozen=True):
    """What one column must be. `type` is a Legato type name (see `quality/schema`) or empty for any."""

    name: str
    type: str = ""
    nulls: bool = True
    unique: bool = False
    low: Any = None
    high: Any = None
    among: tuple[Any, ...] = ()
    pattern: str = ""
    description: str = ""


class Contract(Struct, frozen=True):
    """Columns that must be there, whether others may be, and how a new schema may differ from the published one."""

    columns: tuple[ContractColumn, ...] = ()
    extra: Literal["allow", "forbid"] = "allow"
    compatibility: Compatibility = "none"
