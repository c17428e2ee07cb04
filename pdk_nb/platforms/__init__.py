"""Pachyderm, Determined, KServe, Kubernetes and object stores, each through its official client.

One calling convention holds for all of them:

- The connection comes first: ``client`` for Pachyderm and Determined, ``where`` (settings or a cluster) for KServe,
  ``store`` for models. Then come names from the outside in (project, repo or pipeline, id); options are keywords.
- Names are plain strings. An id is the text or number that the platform itself gives.
- ``ensure_*`` creates what is absent and changes nothing else. ``wait_*`` takes ``timeout``, ``interval`` and
  ``progress``, all in seconds, and raises an error with the reason (:mod:`pdk_nb.platforms.waiting`).
- A question about something that does not exist gets an empty answer or None; an order raises an error.
- Only :class:`pdk_shared.errors.PdkError` and its subclasses leave these modules. Each platform translates the errors
  of its client in one place, ``api_errors``.
"""
