"""The journey of a commit: train job, experiment, checkpoint, model version, deploy job, service and answer.

``model`` has the stations, ``reading`` reads them from the platforms, ``states`` says how they are drawn. Everything
else is a view of one :class:`Journey`: ``graph``, ``timeline``, ``trail`` (a table), ``lineage`` (links with the
``evidence`` for each) and ``recap`` (one sentence). ``watch`` shows a journey while its jobs run.
"""

from __future__ import annotations

from pdk_nb.journey.model import Journey
from pdk_nb.journey.reading import latest_commit, read, read_service, served_commit

__all__ = ["Journey", "latest_commit", "read", "read_service", "served_commit"]
