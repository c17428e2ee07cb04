"""One session on a cluster: settings, names, and the platforms' clients, in one object that functions pass along.

A session knows no lesson and no widget. Clients are created at first use.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pdk_nb import example as examples
from pdk_nb import settings as settings_module
from pdk_nb.names import Names
from pdk_shared.checkout import find_checkout

if TYPE_CHECKING:
    import python_pachyderm
    from determined.common.experimental.determined import Determined
    from kubernetes.client import ApiClient

    from pdk_nb.settings import Settings

__all__ = ["Session", "connect"]


def connect(
    kubeconfig: str = "",
    namespace: str = "default",
    participant: str = "",
    names: Names | None = None,
    *,
    example: str = "",
) -> Session:
    """Read the settings of a cluster.

    Args:
        kubeconfig: Path; when empty, see :func:`pdk_nb.settings.choose_kubeconfig`.
        namespace: Namespace of the ConfigMap ``pdk-config``.
        participant: The participant, if many people share the cluster; ``PDK_PARTICIPANT`` when empty.
        names: Names that replace the participant's and the example's.
        example: The example, a folder under ``examples``; ``PDK_EXAMPLE`` when empty, and else the default example.

    Raises:
        UsageError: The participant's name is invalid.
        SpecError: There is no such example, or its contract is wrong.
        SettingsError: There is no kubeconfig or no ``pdk-config``.
        ServiceUnreachable: The cluster doesn't respond.
    """
    names = names or Names.chosen(participant, example)
    return Session(settings_module.load(kubeconfig or None, namespace), names)


class Session:
    """Settings, names, and clients of one walkthrough.

    Args:
        settings: The cluster's settings.
        names: Names of the lab's resources.
    """

    def __init__(self, settings: Settings, names: Names) -> None:
        self.settings = settings
        self.names = names

    @cached_property
    def checkout(self) -> Path:
        """The folder of the lab's files.

        Raises:
            UsageError: The lab runs outside its checkout.
        """
        return find_checkout()

    @cached_property
    def example(self) -> examples.Example:
        """The example that the names belong to.

        Raises:
            SpecError: Its contract is wrong.
        """
        return examples.find(self.names.example, self.checkout / "examples")

    def sample(self, name: str) -> Path:
        """A file of the example's sample data."""
        return self.example.data_folder / name

    @cached_property
    def kubernetes(self) -> ApiClient:
        """Client of Kubernetes."""
        client: ApiClient = settings_module.api_client(self.settings.kubeconfig)
        return client

    @cached_property
    def pachyderm(self) -> python_pachyderm.Client:
        """Client of Pachyderm.

        Raises:
            SettingsError: ``pdk-config`` doesn't give Pachyderm's address.
        """
        from pdk_nb.platforms import mldm

        return mldm.connect(self.settings)

    @cached_property
    def determined(self) -> Determined:
        """Client of Determined.

        Raises:
            SettingsError: ``pdk-config`` doesn't give Determined's address.
        """
        from pdk_nb.platforms import mlde

        known = self.settings
        known.require("mlde_host", "mlde_port")
        return mlde.connect(known.master_url, known.det_user, known.det_password.reveal())
