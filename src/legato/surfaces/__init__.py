"""The faces that people and programs see. Each translates; none decides."""
