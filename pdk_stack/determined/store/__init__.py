"""State that survives a restart: documents, metrics, and task logs in SQLite. Independent of HTTP."""
