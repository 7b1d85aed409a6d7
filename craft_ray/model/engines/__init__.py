"""What computes a batch: one engine a file."""
