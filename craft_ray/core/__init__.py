"""The words of all rooms: documents, labels, settings, errors; and the process itself. Imports nothing of ours."""
