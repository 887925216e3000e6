"""For tests: `judge` for those of a pipeline; for those of Legato's adapters, conformance suites and what they stand on."""

from legato.testing.judge import judge

__all__ = ["judge"]
