"""The composition root: from a project's folder to everything that works on it. The only place that knows all adapters."""
