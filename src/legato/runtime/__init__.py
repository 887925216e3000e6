"""The shell around the kernel: load, decide, commit, then perform."""
