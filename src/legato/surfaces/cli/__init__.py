"""The command line: a file per group of commands, imported when one of them is called."""
