"""How fast this machine annotates, beside what a user would run instead."""
