"""The prediction panel as a page of its own, served by Voilà: ``pdk-nb app``."""

from __future__ import annotations

import os

from IPython.display import display

from pdk_nb.lab import connect
from pdk_nb.report import Note
from pdk_shared.errors import PdkError

# The namespace of the ConfigMap pdk-config; KUBECONFIG and PDK_PARTICIPANT say the rest.
NAMESPACE_VARIABLE = "PDK_CONFIG_NAMESPACE"


def show() -> None:
    """Show the panel, or why there is none; this is all that the app's notebook calls."""
    try:
        display(connect(namespace=os.environ.get(NAMESPACE_VARIABLE, "default")).panel())
    except PdkError as error:
        display(Note("wrong", error.what, error.fix))
