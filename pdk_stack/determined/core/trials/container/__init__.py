"""The parts of a cluster's trial container that the client's wheel lacks: start, shim, pip guard.

These files run inside trials, with the trial's Python and without the rest of this package.
"""
