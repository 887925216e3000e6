"""The HTTP API of the service, in a process of its own that loads no user code."""
