"""Legato's budgets, measured: every figure beside a floor taken in the same run."""
