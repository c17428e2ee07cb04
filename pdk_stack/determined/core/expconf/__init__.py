"""Experiment configurations: read, checked, merged, and completed.

This is our own code because the release's JSON schemas (``schemas/expconf/v0``) ship with the master, not the wheel,
and use merge and default rules that JSON Schema doesn't have.
"""
