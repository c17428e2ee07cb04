"""Checkpoints: on disk, kept by policy, removed."""
