"""Pachyderm, Determined, KServe, Kubernetes and object stores, each through its official client.

One calling convention holds for all of them:

- The connection comes first: ``client`` for Pachyderm and Determined, ``where`` (settings or a cluster) for KServe,
  ``store`` for models; or an object of the client, such as a model. Names follow from the outside in (project, repo or
  pipeline, id). Options are keywords.
- Names are plain strings. An id is the text or number that the platform itself gives.
- ``ensure_*`` creates what is absent and changes nothing else. ``wait_*`` takes ``timeout`` and ``interval`` (seconds),
  ends with the state that was waited for, or raises an error with the reason (:mod:`pdk_nb.platforms.waiting`).
- A look-up of something absent gives None or an empty answer; what cannot work without it raises an error.
- Only :class:`pdk_shared.errors.PdkError` and its subclasses leave these modules. Each platform translates the errors
  of its client in one place, ``api_errors``.
"""
