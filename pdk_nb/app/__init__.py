"""The prediction panel as a page of its own, served by Voilà: ``pdk-nb app``."""

from __future__ import annotations

import os

from IPython.display import display

from pdk_nb.display.tables import Note
from pdk_nb.journey import read_service
from pdk_nb.panel import panel_of
from pdk_nb.session import Session, connect
from pdk_shared.errors import PdkError

# The namespace of the ConfigMap pdk-config; KUBECONFIG and PDK_PARTICIPANT give the rest.
NAMESPACE_VARIABLE = "PDK_CONFIG_NAMESPACE"


def show() -> None:
    """Show the panel, or why there is none. The app's notebook calls only this function."""
    try:
        session = connect(namespace=os.environ.get(NAMESPACE_VARIABLE, "default"))
        note = service_note(session)
        if note is not None:
            display(note)
        display(panel_of(session))
    except PdkError as error:
        display(Note("wrong", error.what, error.fix))


def service_note(session: Session) -> Note | None:
    """Why nothing would answer now; None when the service is ready.

    Args:
        session: The session.
    """
    status, name = read_service(session), session.names.service
    if status is None:
        where = session.settings.kserve_model_namespace
        text = f"There is no service {name} in the namespace {where} yet, so nothing gets an answer."
        fix = "Run notebooks 01 to 04, or: pdk-nb run --until 04. You don't need to reload this page."
        return Note("not yet", text, fix)
    if not status.ready:
        return Note("not yet", f"The service {name} isn't ready yet: {status.summary()}", "Wait, then ask again.")
    return None
