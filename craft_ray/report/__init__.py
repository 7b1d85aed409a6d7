"""Reports for people about an output: a page, queries, and changes between two states."""
