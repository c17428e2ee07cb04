"""PDK Lab: the helper package of the notebooks and the pipeline images.

Importing this package stays cheap: only the modules that use a platform's client import it.
"""

import importlib.metadata

#: The release that this code is, or becomes. Images and pipeline specs are tagged with it: unlike a build's version,
#: it's the same for all commits, and every registry takes it as a tag.
RELEASE = "0.1.0"


def _version() -> str:
    """The version of the installed distribution, which comes from git's tags."""
    try:
        return importlib.metadata.version("pdk-lab")
    except importlib.metadata.PackageNotFoundError:  # the code is on PYTHONPATH, and not installed
        return RELEASE


__version__ = _version()
