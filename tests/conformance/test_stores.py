"""Every store keeps the port's promises, and any history leaves SQLite as it leaves the model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlite_site import SqliteSite

pytest.register_assert_rewrite("legato.testing.store", "legato.testing.store_history", "legato.testing.store_keeping")

from legato.stores.memory import MemoryDisk, MemoryStore  # noqa: E402
from legato.testing.store import StoreContract  # noqa: E402
from legato.testing.store_history import StoreHistory  # noqa: E402
from legato.testing.store_keeping import KeepingContract  # noqa: E402


class MemorySite:
    """A memory disk."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()

    def open(self) -> MemoryStore:
        return MemoryStore(self.disk)

    def vacate(self) -> None:
        """Nothing holds the place of a memory store."""


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def site(self) -> MemorySite:
        return MemorySite()


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[SqliteSite]:
        site = SqliteSite(tmp_path)
        yield site
        site.close()


class TestMemoryKeeping(KeepingContract):
    site = TestMemoryStore.site


class TestSqliteKeeping(KeepingContract):
    site = TestSqliteStore.site


class _TemporarySite(SqliteSite):
    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        super().__init__(Path(self.folder.name))

    def close(self) -> None:
        super().close()
        self.folder.cleanup()


class SqliteHistory(StoreHistory):
    open_site = _TemporarySite
    open_model = MemoryStore


TestAnyHistory = SqliteHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
