"""Hyperparameter searches, as pure state machines: events in, actions out, state as JSON.

Our own code, because the release decides while trials run, in its own variant of ASHA, and continues a search from its
stored state; libraries for searches run the trials themselves.
"""

from pdk_stack.determined.core.search.methods import make_method
from pdk_stack.determined.core.search.searcher import Create, Searcher, Shutdown, Stop

__all__ = ["Create", "Searcher", "Shutdown", "Stop", "make_method"]
