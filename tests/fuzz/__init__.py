"""Odd requests to the embedded services: bounded, seeded, and judged by their answers, logs and processes."""
