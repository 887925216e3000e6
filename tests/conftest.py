"""What every test shares: properties are tried on the same examples each time, and no example is judged by its speed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from legato.declare import resource

settings.register_profile(
    "legato", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)  # fmt: skip
settings.load_profile("legato")

CHECKED = ("unit", "plans", "kernel", "triggers", "house")
"""The folders whose tests `make check` runs, but for the long ones."""
LONGEST = (
    "test_ten_minutes_leave_nothing_behind",  # it waits while the others work
    "test_what_a_service_holds_is_level[a day]",
)
TIMED = ("test_throughput", "test_mapped_calls_cost_little", "test_a_flow_that_sleeps_gives_its_place_back_at_once")
"""Those tests of the suites that Legato ships that measure time."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Who wants the quick tests alone need not wait until all others are loaded."""
    is_other = (
        collection_path.parent == Path(__file__).parent and collection_path.is_dir() and collection_path.name not in CHECKED
    )
    return True if is_other and config.option.markexpr == "quick" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The suites that Legato ships know nothing of this project's markers; what lasts longest begins first."""
    for item in items:
        if item.name.startswith(TIMED):
            item.add_marker(pytest.mark.timing)
        if item.path.parent.name in CHECKED and not {"long", "timing"} & {mark.name for mark in item.iter_markers()}:
            item.add_marker(pytest.mark.quick)
    items.sort(key=lambda item: item.name not in LONGEST)


@pytest.fixture(autouse=True)
def _forget_secrets() -> Iterator[None]:
    """A process masks what was ever revealed in it: here that would be what other tests take for a secret."""
    yield
    resource._REVEALED.clear()
