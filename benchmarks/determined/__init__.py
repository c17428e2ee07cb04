"""Benchmarks of the embedded Determined master."""
