"""The journey of a commit: train job, experiment, checkpoint, model version, deploy job, service, and answer.

``model`` defines the stations, ``reading`` reads them from the platforms, and ``states`` maps states to drawings. The
other modules are views of one :class:`Journey`: ``graph``, ``timeline``, ``trail`` (a table), ``lineage`` (links with
their ``evidence``), and ``recap`` (one sentence). ``watch`` shows a journey while its jobs run, for which
``jobs`` waits.
"""

from __future__ import annotations

from pdk_nb.journey.model import Journey
from pdk_nb.journey.reading import latest_commit, read, read_service, served_commit

__all__ = ["Journey", "latest_commit", "read", "read_service", "served_commit"]
