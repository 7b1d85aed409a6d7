"""What earlier runs have read: which files need no reading, how documents are named, what has vanished, the ledger."""
