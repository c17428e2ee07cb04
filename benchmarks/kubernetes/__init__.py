"""Benchmarks of the embedded Kubernetes, each with its reference in the same run."""
