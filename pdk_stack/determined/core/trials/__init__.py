"""Trials: slot scheduling, and processes from start to end."""
