"""Real runs on a real cluster and object store, struck at random moments, repeated, and compared."""
