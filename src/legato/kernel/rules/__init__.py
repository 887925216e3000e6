"""The rules of the kernel, one file a subject. `decide.RULES` says which of them answers each kind of input."""
