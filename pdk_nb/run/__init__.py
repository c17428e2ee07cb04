"""Headless runs of the notebooks, and the pages made of them."""
