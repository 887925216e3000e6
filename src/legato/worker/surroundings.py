"""What user code may change about the whole process, put back after each attempt."""

from __future__ import annotations

import contextlib
import os
import sys


class Surroundings:
    """The working directory, environment, import path and umask as they are now, to be restored at little cost."""

    __slots__ = ("_environ", "_folder", "_path", "_umask")

    def __init__(self) -> None:
        self._folder = os.getcwd()
        self._path = list(sys.path)
        self._environ = dict(_raw_environ())
        self._umask = os.umask(0o022)
        os.umask(self._umask)

    def holds(self) -> bool:
        """Whether all of it is so now. As cheap as restoring what has not changed."""
        umask = os.umask(self._umask)
        if umask != self._umask:
            os.umask(umask)
            return False
        return self._is_in_folder() and sys.path == self._path and _raw_environ() == self._environ

    def restore(self) -> None:
        """Make the process as it was. Cheap if nothing changed: two system calls and three comparisons."""
        os.umask(self._umask)
        if not self._is_in_folder():
            with contextlib.suppress(OSError):  # the folder itself may have been removed
                os.chdir(self._folder)
        if sys.path != self._path:
            sys.path[:] = self._path
        if _raw_environ() != self._environ:
            self._restore_environ()

    def _is_in_folder(self) -> bool:
        try:
            return os.getcwd() == self._folder
        except OSError:
            return False

    def _restore_environ(self) -> None:
        now = _raw_environ()
        for key in [key for key in now if key not in self._environ]:
            del os.environb[key]
        for key, value in self._environ.items():
            if now.get(key) != value:
                os.environb[key] = value


def _raw_environ() -> dict[bytes, bytes]:
    # The dict inside os.environ: comparing it costs 1 us, comparing os.environ decodes every variable.
    raw: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
    return raw
