"""From a prediction back to the very pictures and code, and from a commit forward to what it became.

Every link was written down when the thing was made: by the train stage in the model version's metadata and the
experiment's labels, by the deploy stage in the service's annotations, by the model in each answer. Nothing is guessed:
where a link is missing, it says so.
"""

from __future__ import annotations

from pdk_nb.lineage.chain import Chain, Link, Station
from pdk_nb.lineage.tracing import resolve, trace

__all__ = ["Chain", "Link", "Station", "resolve", "trace"]
