"""The environment of a pipeline's worker, as both stages see it.

Sources: ``src/server/worker/driver/driver.go`` of Pachyderm for ``PACH_*``, ``PPS_*`` and ``<input>_COMMIT``;
Kubernetes for ``PACHD_PEER_SERVICE_*``; the pipelines' specs (:mod:`pdk_nb.specs.rules`) for what comes from
``pipeline-secret``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pdk_shared.errors import SettingsError

__all__ = ["Login", "Pachd", "Worker", "pfs_root"]

DEFAULT_PACHD_PORT = "30650"
OUTSIDE = "This stage runs in a pipeline's worker; see docs/architecture.md."
UNMAPPED = "Map the key of pipeline-secret in the pipeline spec, as in the specs of an example's folder."


def pfs_root() -> Path:
    """The folder of a worker's inputs and output: ``/pfs``, or the value of ``PDK_PFS_ROOT``.

    The variable is for workers without a mount namespace, which can't have their own ``/pfs``.
    """
    return Path(os.environ.get("PDK_PFS_ROOT") or "/pfs")


@dataclass(frozen=True)
class Pachd:
    """How trials reach Pachyderm.

    Attributes:
        host: Name or address of pachd.
        port: Its gRPC port.
        token: Pachyderm token; empty without authentication.
        token_from: The variable that the token came from.
    """

    host: str
    port: str
    token: str = field(default="", repr=False)
    token_from: str = ""


@dataclass(frozen=True)
class Login:
    """How a stage logs in to Determined: ``host:port`` or URL of the master, user and password."""

    master: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Worker:
    """A worker's environment. What is missing raises :class:`SettingsError` when a stage asks for it.

    Attributes:
        variables: The environment's variables.
        pfs: Folder of the inputs and the output.
    """

    variables: Mapping[str, str] = field(repr=False)
    pfs: Path

    @classmethod
    def from_environment(cls) -> Worker:
        """The worker that this process runs in."""
        return cls(dict(os.environ), pfs_root())

    def _required(self, name: str, fix: str) -> str:
        value = self.variables.get(name, "")
        if not value:
            raise SettingsError(f"{name} isn't set.", where=name, fix=fix)
        return value

    @property
    def job(self) -> str:
        """The job's id, which is also the id of its commits."""
        return self._required("PACH_JOB_ID", OUTSIDE)

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self._required("PPS_PIPELINE_NAME", OUTSIDE)

    @property
    def project(self) -> str:
        """The pipeline's project; empty where the worker does not say, as before Pachyderm 2.5."""
        return self.variables.get("PPS_PROJECT_NAME", "")

    def data_project(self, given: str) -> str:
        """The project of the data: the given one, else the pipeline's."""
        return given or self.project or "default"

    def commit(self, input_name: str) -> str:
        """The commit of an input; the job's id where the worker does not say."""
        return self.variables.get(f"{input_name}_COMMIT") or self.job

    @property
    def out(self) -> Path:
        """Folder of the output commit."""
        return self.pfs / "out"

    @property
    def pachd(self) -> Pachd:
        """The address that the pipeline's secret gives, else that of the worker's own namespace."""
        get = self.variables.get
        host, port = get("PACHD_LB_SERVICE_HOST"), get("PACHD_LB_SERVICE_PORT")
        if not host:
            host, port = get("PACHD_PEER_SERVICE_HOST"), get("PACHD_PEER_SERVICE_PORT")
        if not host:
            raise SettingsError(
                "The address of Pachyderm is unknown.",
                where="PACHD_LB_SERVICE_HOST, PACHD_PEER_SERVICE_HOST",
                fix="map pachd_lb_service_host and pachd_lb_service_port of pipeline-secret in the pipeline's spec",
            )
        token_from = next((name for name in ("PAC_TOKEN", "PACH_TOKEN") if get(name)), "")
        return Pachd(host, port or DEFAULT_PACHD_PORT, get(token_from, "") if token_from else "", token_from)

    @property
    def determined(self) -> Login:
        """The login from the pipeline's secret."""
        return Login(
            self._required("DET_MASTER", UNMAPPED),
            self._required("DET_USER", UNMAPPED),
            self.variables.get("DET_PASSWORD", ""),
        )

    @property
    def models_namespace(self) -> str:
        """Namespace of the InferenceServices."""
        return self.variables.get("KSERVE_NAMESPACE") or "models"
