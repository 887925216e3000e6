"""Beside user code: makes attempts in a process of its own, without credentials of the store."""
