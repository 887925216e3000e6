"""Judges tables: their schema, their checks, their contract. Pure functions on values in memory."""
