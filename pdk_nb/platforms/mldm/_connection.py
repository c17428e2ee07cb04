"""Connecting to Pachyderm."""

from __future__ import annotations

import python_pachyderm

from pdk_nb.platforms.mldm._errors import api_errors
from pdk_nb.settings import Settings


def open_client(settings: Settings) -> python_pachyderm.Client:
    """A client for the cluster's Pachyderm; it has asked for nothing yet.

    Raises:
        SettingsError: The address is missing.
    """
    settings.require("mldm_host", "mldm_port")
    tls = settings.mldm_url.startswith(("https://", "grpcs://"))
    return python_pachyderm.Client(
        host=settings.mldm_host,
        port=settings.mldm_port,
        auth_token=settings.pac_token.reveal() or None,
        tls=tls,
        use_default_host=False,
    )


def connect(settings: Settings) -> python_pachyderm.Client:
    """A client for the cluster's Pachyderm, checked by listing the projects.

    Raises:
        SettingsError: The address is missing.
        ServiceUnreachable: It does not answer, or refuses the token.
    """
    client = open_client(settings)
    with api_errors(f"{settings.mldm_host}:{settings.mldm_port}"):
        list(client.list_project())
    return client


def version(client: python_pachyderm.Client) -> str:
    """The server's version, e.g. ``2.8.4``."""
    with api_errors(str(client.address)):
        found = client.get_remote_version()
    return f"{found.major}.{found.minor}.{found.micro}{found.additional}"
