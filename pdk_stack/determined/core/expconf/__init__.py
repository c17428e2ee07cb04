"""Experiment configurations: the rules, the checks, and reading one."""
