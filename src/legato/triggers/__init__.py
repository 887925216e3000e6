"""When something runs by itself: from facts and time to decisions, pure."""
