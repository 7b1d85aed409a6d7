"""One run: plan, read, annotate, write, commit, account. Only here does Ray Data run."""
