"""Hyperparameter searches, as pure state machines: events in, actions out, state as JSON."""

from pdk_nb.local.determined.search.methods import make_method
from pdk_nb.local.determined.search.searcher import Create, Searcher, Shutdown, Stop

__all__ = ["Create", "Searcher", "Shutdown", "Stop", "make_method"]
