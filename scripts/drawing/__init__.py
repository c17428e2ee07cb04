"""Drawn pets: colours, a pen, the animals, the places they stand in, and the finished picture."""
