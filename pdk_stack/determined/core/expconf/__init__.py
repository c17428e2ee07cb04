"""Experiment configurations: the rules, the checks, and reading one.

Our own code, because the JSON schemas of the release (``schemas/expconf/v0``) are part of the master, not of the wheel,
and merge and default by rules that JSON Schema does not have.
"""
