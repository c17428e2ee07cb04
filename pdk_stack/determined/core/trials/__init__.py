"""Trials: waiting for slots, started as processes, watched, ended."""
