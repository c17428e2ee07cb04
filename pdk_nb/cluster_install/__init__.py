"""A real PDK: Pachyderm, Determined, and KServe on a cluster in Docker or on an existing one, by their own charts.

:mod:`installing` runs the steps, :mod:`local` makes a cluster with kind or k3d, :mod:`removing` takes away what was
made. What was done is recorded on the cluster itself (:mod:`record`).
"""
