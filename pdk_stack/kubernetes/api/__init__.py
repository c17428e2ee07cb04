"""The Kubernetes API: a thin layer over the object store."""
