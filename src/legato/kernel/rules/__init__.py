"""The rules of the kernel, one file a subject. `decide.RULES` lists them in the order in which they are asked."""
