"""Legato: a data orchestrator that keeps the promises your data makes."""
