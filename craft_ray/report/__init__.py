"""What people ask of an output: most frequent mentions, pairs, what changed, and a page of all of it."""
