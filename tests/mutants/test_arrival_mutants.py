"""Broken variants of what takes in webhooks, messages, objects: the tests that should catch each do, and pass on the product."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from of_arrivals import MUTANTS

HERE = Path(__file__).parent


def passes(tests: str, mutant: str) -> bool:
    """Whether the tests pass where this mutant is in force; none, where it has no name."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "of_arrivals", f"tests/unit/{tests}.py"]
    surroundings = {**os.environ, "PYTHONPATH": str(HERE), "MUTANT": mutant, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=HERE.parents[1], env=surroundings, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("tests", sorted({tests for _, tests in MUTANTS.values()}))
def test_the_product_passes(tests: str) -> None:
    assert passes(tests, "")


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_mutant_is_caught(mutant: str) -> None:
    assert not passes(MUTANTS[mutant][1], mutant)
