"""What the groups of findings share: settings and clients, each created once. Failures are cached, too."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pdk_nb import settings as settings_module
from pdk_nb.container_images import RegistryAccess
from pdk_nb.doctor.probe import Answer, Probe
from pdk_nb.names import Names
from pdk_nb.settings import Settings
from pdk_shared.errors import PdkError, ServiceUnreachable, SettingsError

if TYPE_CHECKING:
    import python_pachyderm
    from determined.common.experimental.determined import Determined

    from pdk_nb.configure.discovery import Discovery
    from pdk_nb.doctor.resources import Machine

T = TypeVar("T")
TIMEOUT_S = 5.0
# The same request from inside the cluster.
PROBE = "kubectl run probe --rm -i --restart=Never --image=curlimages/curl --"


class Context:
    """One examination.

    Args:
        kubeconfig: Path; when empty, see :func:`pdk_nb.settings.choose_kubeconfig`.
        namespace: Namespace of the ConfigMap ``pdk-config``.
        names: Names of the lab's resources.
        settings: The cluster's settings, if already read.
        probe: Whether pods may be started to find out what this machine can't.
        registries: How to reach registries that speak HTTP or have a certificate of their own.
        machine: What this machine has left, if already known.
    """

    def __init__(
        self,
        kubeconfig: str = "",
        namespace: str = "default",
        names: Names | None = None,
        settings: Any = None,
        *,
        probe: bool = False,
        registries: RegistryAccess | None = None,
        machine: Machine | None = None,
    ) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self.names = names or Names()
        self.may_probe = probe
        self.registries = registries or RegistryAccess()
        self.machine = machine
        self._made: dict[str, Any] = {"settings": settings} if settings is not None else {}

    def _once(self, name: str, make: Callable[[], T]) -> T:
        """Create something once; a failure isn't retried."""
        if name not in self._made:
            try:
                self._made[name] = make()
            except PdkError as error:
                self._made[name] = error
        found: T | PdkError = self._made[name]
        if isinstance(found, PdkError):
            raise found
        return found

    @property
    def api(self) -> Any:
        """API client of ``kubernetes``, without retries."""
        return self._once("api", self._api)

    def _api(self) -> Any:
        import urllib3

        client = settings_module.api_client(self.kubeconfig or None)
        client.rest_client.pool_manager.connection_pool_kw["retries"] = urllib3.Retry(0)
        return client

    @property
    def core(self) -> Any:
        """The core API."""
        import kubernetes

        return kubernetes.client.CoreV1Api(self.api)

    def kubernetes_version(self) -> tuple[str, str]:
        """Version of the Kubernetes API, and the ``Date`` header of its answer.

        Raises:
            ServiceUnreachable: It doesn't respond, or refuses this user.
        """
        import kubernetes
        import urllib3

        api = kubernetes.client.VersionApi(self.api)
        try:
            found, _, headers = api.get_code_with_http_info(_request_timeout=TIMEOUT_S)
        except (kubernetes.client.ApiException, urllib3.exceptions.HTTPError) as error:
            raise ServiceUnreachable(f"The Kubernetes API doesn't answer: {error}") from error
        return str(found.git_version), str(headers.get("Date") or "")

    @property
    def settings(self) -> Settings:
        """The cluster's settings."""
        return self._once("settings", lambda: settings_module.load(self.kubeconfig or None, self.namespace))

    def need_kubernetes(self) -> None:
        """Check that the Kubernetes API answers, unless the settings are known already.

        Raises:
            SettingsError: The kubeconfig is missing or malformed.
            ServiceUnreachable: The API doesn't answer.
        """
        try:
            _ = self.settings
        except SettingsError:
            _ = self.api  # it answers, and only pdk-config is missing or wrong

    @property
    def discovery(self) -> Discovery:
        """The values that the cluster's Services give."""
        from pdk_nb.configure.discovery import Discovery

        return self._once("discovery", lambda: Discovery(self.api))

    @property
    def pachyderm(self) -> python_pachyderm.Client:
        """Client of Pachyderm, logged in."""
        return self._once("pachyderm", self._pachyderm)

    def _pachyderm(self) -> python_pachyderm.Client:
        from pdk_nb.platforms import mldm

        known = self.settings
        known.require("mldm_host", "mldm_port")
        # An unknown name or a closed port fails immediately.
        self.reach(known.mldm_host, known.mldm_port)
        return mldm.connect(known)

    @property
    def determined(self) -> Determined:
        """Client of Determined, logged in."""
        return self._once("determined", self._determined)

    def _determined(self) -> Determined:
        from pdk_nb.platforms import mlde

        known = self.settings
        known.require("mlde_host", "mlde_port")
        self.reach(known.mlde_host, known.mlde_port)
        return mlde.connect(known.master_url, known.det_user, known.det_password.reveal())

    @property
    def stage_images(self) -> dict[str, tuple[str, str]]:
        """Pipeline and image of each stage: of the existing pipelines, else of the rendered specs."""
        return self._once("stage_images", self._stage_images)

    def _stage_images(self) -> dict[str, tuple[str, str]]:
        from pdk_nb import specs
        from pdk_nb.platforms import mldm

        names, present = self.names, dict[str, str]()
        with contextlib.suppress(PdkError):
            # A separate finding reports that Pachyderm doesn't respond.
            present = mldm.images(self.pachyderm, names.project)
        to_come = specs.params_for(self.settings, self.names.example)
        return {
            "train": (names.train_pipeline, present.get(names.train_pipeline) or to_come.train_image),
            "deploy": (names.deploy_pipeline, present.get(names.deploy_pipeline) or to_come.deploy_image),
        }

    @property
    def probe(self) -> Probe:
        """Pods that answer what this machine can't."""
        return self._once("probe", lambda: Probe(self.core, self.settings, self._questions()))

    def _questions(self) -> dict[str, tuple[str, tuple[Any, ...]]]:
        known = self.settings
        gateway = known.mldm_s3_endpoint if "//" in known.mldm_s3_endpoint else f"http://{known.mldm_s3_endpoint}"
        questions: dict[str, tuple[str, tuple[Any, ...]]] = {
            "gateway": ("s3", (gateway,)),
            "route": ("tcp", (known.pachd_lb_service_host, known.pachd_lb_service_port)),
            "clock": ("http", (known.minio_url or gateway,)),
        }
        if known.det_master:
            master = known.det_master if "//" in known.det_master else f"http://{known.det_master}"
            questions["master"] = ("master", (master.rstrip("/"),))
        if known.models_in_minio:
            # The deploy stage writes below the model's name, too.
            path = f"{self.names.model}/.pdk-doctor"
            questions["models"] = ("bucket", (known.minio_url, known.kserve_model_bucket_name, path))
        return questions

    def asked(self, question: str) -> Answer | None:
        """What a pod of the cluster says; None if no pod may be started, or none can run.

        Args:
            question: ``gateway``, ``route``, ``clock`` or ``models``.
        """
        if not self.may_probe:
            return None
        # The deploy image has the client of S3.
        images = [self.stage_images[stage][1] for stage in ("deploy", "train")]
        with contextlib.suppress(PdkError):
            return self.probe.ask(question, *images)
        return None

    @staticmethod
    def reach(host: str, port: int) -> None:
        """Open a connection and close it.

        Raises:
            ServiceUnreachable: Nothing listens there.
        """
        try:
            with contextlib.closing(socket.create_connection((host, port), timeout=TIMEOUT_S)):
                return
        except OSError as error:
            reason = (
                "the name doesn't resolve"
                if isinstance(error, socket.gaierror)
                else (error.strerror or str(error)).lower()
            )
            raise ServiceUnreachable(f"No connection: {reason}.", where=f"{host}:{port}") from error

    def set_secret(self, **values: object) -> str:
        """The command that puts values into the pipelines' secret."""
        known = self.settings
        patch = json.dumps({"stringData": {key: str(value) for key, value in values.items()}})
        return f"kubectl -n {known.mldm_namespace} patch secret {known.mldm_pipeline_secret} --type merge -p '{patch}'"

    def set_values(self, **values: object) -> str:
        """The command that puts values into ``pdk-config``."""
        flags = " ".join(f"--set {key}={value}" for key, value in values.items())
        place = "" if self.namespace == "default" else f" --namespace {self.namespace}"
        return f"pdk-nb config init --apply{place} {flags}"
