"""Drawn pets: colors, a pen, the animals, the scenes, and the finished picture."""
