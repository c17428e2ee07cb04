"""What stands in a trial's container on a cluster and is not part of the client's wheel: start, shim, pip guard.

The files of this folder run inside trials, with the trial's Python and without the rest of this package.
"""
