"""Where spans go: one file for each way in which collectors take them."""
