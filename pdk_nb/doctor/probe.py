"""A pod that answers what this machine can't: whether nodes pull an image, and what the cluster's network reaches.

Only ``pdk-nb doctor --probe`` starts one. It runs in Pachyderm's namespace as the pipelines' account, with an image of
the lab's stages, asks for next to nothing, and is deleted in any case.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pdk_nb.configure.manifests import WORKER_ACCOUNT
from pdk_nb.platforms.cluster import Object
from pdk_nb.platforms.serving.account import UNCHECKED_KEY
from pdk_nb.platforms.serving.pods import CANNOT_PULL, Pod, read_pod
from pdk_nb.platforms.waiting import wait
from pdk_nb.settings import MINIO_SECRET_KEYS, Settings
from pdk_shared.errors import PdkError, ServiceUnreachable

__all__ = ["Answer", "Probe"]

NAME = "pdk-doctor"
TIMEOUT_S = 10.0
# Pulling an image of a gigabyte to a node takes its time.
POD_SECONDS = 300.0
LOOK_S = 1.0
# Python's standard library, and boto3 where the image has it. Token and keys come from the pipelines' secret: no pod's
# spec has them.
SCRIPT = """
import json, os, socket, sys, time, urllib.error, urllib.request

def tcp(host, port):
    socket.create_connection((host, int(port)), 5).close()
    return ""

def http(url):
    try:
        answer = urllib.request.urlopen(url, timeout=5)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.headers.get("Date") or ""

def master(url):
    return json.load(urllib.request.urlopen(url + "/info", timeout=5)).get("cluster_id") or ""

def client(url, key, secret):
    import boto3
    from botocore.config import Config
    config = Config(connect_timeout=5, read_timeout=5, retries={"max_attempts": 1})
    return boto3.client("s3", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret,
                        region_name="us-east-1", config=config)

def s3(url):
    key = os.environ.get("PAC_TOKEN") or UNCHECKED
    return str(len(client(url, key, key).list_buckets()["Buckets"]))

def bucket(url, name, path):
    store = client(url, os.environ.get("MINIO_ACCESS_KEY"), os.environ.get("MINIO_SECRET_KEY"))
    store.put_object(Bucket=name, Key=path, Body=b"probe")
    store.get_object(Bucket=name, Key=path)["Body"].read()
    store.delete_object(Bucket=name, Key=path)
    return path

asked, UNCHECKED = json.loads(sys.argv[1]), sys.argv[2]
told = {}
for name, (kind, arguments) in asked.items():
    try:
        value, error = {"tcp": tcp, "http": http, "master": master, "s3": s3, "bucket": bucket}[kind](*arguments), ""
    except Exception as failure:
        value, error = "", type(failure).__name__ + ": " + str(failure)
    told[name] = {"value": value, "error": error, "now": time.time()}
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Answer:
    """What a pod found out.

    Attributes:
        value: The result; its meaning depends on the question.
        error: Why there is none; empty when all went well.
        now: The pod's clock, in seconds since the epoch.
    """

    value: str = ""
    error: str = ""
    now: float = 0.0


@dataclass
class Probe:
    """The pods of one examination; each question is asked once.

    Attributes:
        core: A ``CoreV1Api``.
        settings: The cluster's settings: Pachyderm's namespace, and the pipelines' secret.
        questions: What the first pod that runs will be asked, by name: kind and arguments of the script.
    """

    core: Any
    settings: Settings
    questions: Mapping[str, tuple[str, tuple[Any, ...]]]
    _pulls: dict[str, str] = field(default_factory=dict)
    _answers: dict[str, Answer] = field(default_factory=dict)

    def pull(self, image: str) -> str:
        """Let a node pull an image.

        Args:
            image: Its full name.

        Returns:
            Why no node can; empty when one has pulled it.

        Raises:
            ServiceUnreachable: No pod can be started.
        """
        if image not in self._pulls:
            self._pulls[image] = self._run(image)
        return self._pulls[image]

    def ask(self, name: str, *images: str) -> Answer:
        """The answer to one of the questions.

        Args:
            name: The question.
            images: Images that the pod may use; the first that a node can pull.

        Raises:
            ServiceUnreachable: No pod can be started, or none can pull its image.
        """
        for image in images:
            if not self._answers:
                self.pull(image)
        if name not in self._answers:
            raise ServiceUnreachable("No probe pod could run: its image can't be pulled.")
        return self._answers[name]

    def _run(self, image: str) -> str:
        name, place = f"{NAME}-{secrets.token_hex(4)}", self.settings.mldm_namespace
        # What the registry said: the back-off that follows doesn't repeat it.
        refusals: list[str] = []
        with self._pod(self._manifest(name, image), place):
            pod = wait(
                lambda: self._read(name, place),
                lambda found: _done(found),
                timeout=POD_SECONDS,
                interval=LOOK_S,
                progress=lambda found: refusals.extend(_refusals(found)),
                reason=lambda found: ServiceUnreachable(
                    f"The probe pod didn't end within {POD_SECONDS:.0f} s: {_state(found)}", where=f"pod {place}/{name}"
                ),
            )
            if any(each.reason in CANNOT_PULL for each in read_pod(pod).troubles):
                return refusals[0]
            # As bytes: the client takes a log that is JSON for an object, and gives its Python form.
            log = self.core.read_namespaced_pod_log(name, place, _preload_content=False, _request_timeout=TIMEOUT_S)
        with contextlib.suppress(ValueError, IndexError, TypeError):
            told = json.loads(log.data.decode().splitlines()[-1])
            self._answers = {key: Answer(**each) for key, each in told.items()}
        return ""

    def _manifest(self, name: str, image: str) -> Object:
        secret = self.settings.mldm_pipeline_secret
        mapped = {
            key.upper(): {"name": secret, "key": key, "optional": True} for key in ("pac_token", *MINIO_SECRET_KEYS)
        }
        return {
            "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": NAME}},
            "spec": {
                "restartPolicy": "Never",
                "serviceAccountName": WORKER_ACCOUNT,
                "activeDeadlineSeconds": int(POD_SECONDS),
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "probe",
                        "image": image,
                        # Also a node that has the image asks the registry.
                        "imagePullPolicy": "Always",
                        "command": ["python3", "-c", SCRIPT, json.dumps(dict(self.questions)), UNCHECKED_KEY],
                        "env": [{"name": name, "valueFrom": {"secretKeyRef": ref}} for name, ref in mapped.items()],
                        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
                    }
                ],
            },
        }

    @contextlib.contextmanager
    def _pod(self, body: Object, namespace: str) -> Iterator[None]:
        import kubernetes

        name, core = body["metadata"]["name"], self.core
        try:
            core.create_namespaced_pod(namespace, body, _request_timeout=TIMEOUT_S)
        except kubernetes.client.ApiException as error:
            raise ServiceUnreachable(
                f"No probe pod can be started ({error.status} {error.reason}).", where=f"namespace {namespace}"
            ) from error
        try:
            yield
        finally:
            with contextlib.suppress(kubernetes.client.ApiException):
                core.delete_namespaced_pod(name, namespace, grace_period_seconds=0, _request_timeout=TIMEOUT_S)

    def _read(self, name: str, namespace: str) -> Mapping[str, Any]:
        import kubernetes

        try:
            found = self.core.read_namespaced_pod(name, namespace, _preload_content=False, _request_timeout=TIMEOUT_S)
        except kubernetes.client.ApiException as error:
            raise PdkError(f"The probe pod can't be read ({error.status} {error.reason}).", where=name) from error
        return dict(json.loads(found.data))


def _phase(pod: Mapping[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _done(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has ended, or can't get its image: the second refusal counts, as a registry may be busy once."""
    waits = {each.reason for each in read_pod(pod).troubles}
    return _phase(pod) in ("Succeeded", "Failed") or bool(waits & (CANNOT_PULL - {"ErrImagePull"}))


def _refusals(pod: Mapping[str, Any]) -> list[str]:
    return [f"{each.reason}: {each.message}" for each in read_pod(pod).troubles if each.reason in CANNOT_PULL]


def _state(pod: Mapping[str, Any]) -> str:
    seen: Pod = read_pod(pod)
    return seen.unschedulable or "; ".join(map(str, seen.troubles)) or _phase(pod).lower()
