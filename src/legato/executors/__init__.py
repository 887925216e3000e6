"""Executors: ways to have attempts made, in this process or in warm workers beside it."""
