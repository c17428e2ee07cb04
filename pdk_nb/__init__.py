"""PDK Lab: the helper package of the notebooks and the pipeline images.

Importing this package stays cheap: only the modules that use a platform's client import it.
"""

__version__ = "0.1.0"
