"""Storages: where values are kept as files, or in memory, in the formats of one table."""
