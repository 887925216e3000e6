"""One asyncio loop per worker, made when the first async function needs it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


class Loop:
    """Runs async functions of the user's one after the other on one loop, so that async resources stay usable."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for the end; what else it started on the loop stays there."""
        import asyncio

        async def whole() -> Any:
            return await awaitable

        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(whole())

    def run_clean(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for the end, and cancel every asyncio task that it left behind."""
        import asyncio

        async def whole() -> Any:
            before = asyncio.all_tasks()
            try:
                return await awaitable
            finally:
                left = asyncio.all_tasks() - before
                for task in left:
                    task.cancel()
                await asyncio.gather(*left, return_exceptions=True)

        return self.run(whole())

    def close(self) -> None:
        """End the loop, if there is one."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None
