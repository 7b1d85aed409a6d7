"""Answers for people about an output: most frequent mentions, pairs, what changed, and a page of all of it."""
