"""PDK Lab: helper package of the notebooks and of the pipeline images.

Importing this package stays cheap: clients of the platforms are imported by the modules that use them.
"""

__version__ = "0.1.0"
