"""Hyperparameter searches, as pure state machines: events in, actions out, state as JSON.

This is our own code because the release decides while trials run, uses its own variant of ASHA, and resumes a search
from stored state; search libraries run the trials themselves.
"""

from pdk_stack.determined.core.search.methods import make_method
from pdk_stack.determined.core.search.searcher import Create, Searcher, Shutdown, Stop

__all__ = ["Create", "Searcher", "Shutdown", "Stop", "make_method"]
