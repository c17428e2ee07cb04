"""Experiments: catalog, life cycle, and user actions."""
