"""Who asks."""

from __future__ import annotations

import os
from getpass import getuser


def actor() -> str:
    """Who asks, as the operating system knows them."""
    try:
        return getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
