"""What every test shares: properties are tried on the same examples each time, and no example is judged by its speed."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "legato", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)  # fmt: skip
settings.load_profile("legato")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The suites that Legato ships know nothing of this project's markers; what lasts longest begins first."""
    for item in items:
        if item.name.startswith("test_throughput"):
            item.add_marker(pytest.mark.timing)
    items.sort(key=lambda item: item.name != "test_ten_minutes_leave_nothing_behind")  # it waits while the others work
