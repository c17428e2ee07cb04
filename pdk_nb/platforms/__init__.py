"""Pachyderm, Determined, KServe, Kubernetes and object stores, each through its official client."""
