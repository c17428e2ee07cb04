"""Checkpoints: storage, garbage collection policy, removal."""
