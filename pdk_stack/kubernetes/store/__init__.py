"""The objects, and the kinds that they are of. Knows no HTTP."""
