"""Experiments: looked up, taken through their life, changed on request."""
