"""Hyperparameter searches, as pure state machines: events in, actions out, state as JSON."""

from pdk_stack.determined.core.search.methods import make_method
from pdk_stack.determined.core.search.searcher import Create, Searcher, Shutdown, Stop

__all__ = ["Create", "Searcher", "Shutdown", "Stop", "make_method"]
