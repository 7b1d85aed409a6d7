"""Documents, labels, settings, errors, logs and the connection to Ray. Imports no other room."""
