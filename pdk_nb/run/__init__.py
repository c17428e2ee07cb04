"""Headless runs of the notebooks, and their exported pages."""
