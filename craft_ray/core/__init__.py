"""What all rooms speak of: documents, labels, settings, errors; and the process itself. Imports nothing of ours."""
