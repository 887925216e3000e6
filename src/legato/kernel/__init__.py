"""The engine: inputs in, events and commands out. Pure: no I/O, no clock, no randomness, no threads."""
