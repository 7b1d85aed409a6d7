"""The speed of this machine, compared with what a user would run instead."""
