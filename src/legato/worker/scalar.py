"""Single numbers of other libraries."""

from __future__ import annotations

from typing import Any


def python_scalar(value: Any) -> Any:
    """A number of numpy's as Python's; anything else as it is."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()
    return value
