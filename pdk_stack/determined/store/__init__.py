"""What survives a restart: documents, metrics and task logs in SQLite. Knows no HTTP."""
