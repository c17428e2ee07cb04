"""The embedded stack: the wire protocols of Pachyderm, Determined, Kubernetes, and KServe on loopback.

It is a stand-in for learning, development, and CI. It does the real work on one machine, but it is not Pachyderm,
Determined, or Kubernetes; run production on a cluster. ``pdk-nb`` reaches it only through an entry point.
"""
