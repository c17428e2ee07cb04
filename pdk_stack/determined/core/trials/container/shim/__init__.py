"""Comes first on the path of every Python process of a trial."""
