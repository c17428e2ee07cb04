"""The prediction panel as a page of its own, served by Voilà: ``pdk-nb app``."""

from __future__ import annotations

import os

from IPython.display import display

from pdk_nb.display.tables import Note
from pdk_nb.panel import PredictionPanel
from pdk_nb.session import connect
from pdk_shared.errors import PdkError

# The namespace of the ConfigMap pdk-config; KUBECONFIG and PDK_PARTICIPANT give the rest.
NAMESPACE_VARIABLE = "PDK_CONFIG_NAMESPACE"


def show() -> None:
    """Show the panel, or why there is none. The app's notebook calls only this function."""
    try:
        display(PredictionPanel(connect(namespace=os.environ.get(NAMESPACE_VARIABLE, "default"))))
    except PdkError as error:
        display(Note("wrong", error.what, error.fix))
