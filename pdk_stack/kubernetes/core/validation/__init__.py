"""What Kubernetes refuses: rules for names, metadata, and the fields of each built-in kind."""
