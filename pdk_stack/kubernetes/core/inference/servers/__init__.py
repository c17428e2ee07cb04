"""Model servers: local processes that serve the models of one revision."""
