"""Stores: the same memory kept in a SQLite file, or in this process alone."""
