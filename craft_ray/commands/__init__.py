"""The commands, a family a file: arguments to settings, one call, and what is said of it. Slow imports come late."""
