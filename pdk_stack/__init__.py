"""The embedded stack: Pachyderm's, Determined's, Kubernetes' and KServe's wire protocols on loopback.

A stand-in for learning, developing and CI. It does the real work on one machine; it is not Pachyderm,
Determined or Kubernetes, and production belongs on a cluster. Nothing outside this package imports it,
except the commands that start and stop it.
"""
