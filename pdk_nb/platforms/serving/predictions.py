"""Prediction requests over the KServe ingress: addresses, bodies, answers and errors.

A service is reached at the ingress's address with its own host name in the ``Host`` header; the model's name in the
path is the registry's, not the service's. Most failed requests are one of the two mixed up, so that the errors here
name both.
"""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as settled
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pdk_nb.counting import counted
from pdk_nb.platforms.serving.installation import FIND_INGRESS
from pdk_shared.errors import PredictionError

if TYPE_CHECKING:
    import requests

__all__ = ["Endpoint", "Prediction", "curl_command", "parse", "send"]

# TorchServe's default limit of a request body.
MAX_REQUEST_BYTES = 6_553_500
CONNECT_TIMEOUT_S = 5.0
# Starting a pod and loading a model in it: what Knative holds a request for while a service is scaled to zero.
WAKE_TIMEOUT_S = 120.0
# An answer that takes longer than this may wait for a pod; after that, how often its wait is reported.
SLOW_S, REPORT_S = 3.0, 1.0
# Knative's own domain, if config-domain names no other: the gateway doesn't route it from outside.
INTERNAL = ".svc.cluster.local"
UNEXPOSED = (
    "The service has only an address inside the cluster. Give Knative a domain, and deploy again: "
    """kubectl -n knative-serving patch configmap config-domain --type merge -p '{"data": {"example.com": ""}}'"""
)


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers.

    Attributes:
        service: Name of the InferenceService.
        address: ``host:port`` of the ingress.
        host: The service's host name, for the ``Host`` header.
        model: Model name, for the path.
        protocol: ``v1`` or ``v2``.
        max_bytes: Largest request that the model server takes.
        version: Model version that the service has been given.
        may_sleep: Whether it is scaled to zero when nobody asks.
        asleep: Whether it was scaled to zero when it was looked up.
    """

    service: str
    address: str
    host: str
    model: str
    protocol: str = "v1"
    max_bytes: int = MAX_REQUEST_BYTES
    version: str = ""
    may_sleep: bool = False
    asleep: bool = False

    @property
    def url(self) -> str:
        """The prediction URL at the ingress."""
        path = f"/v1/models/{self.model}:predict" if self.protocol == "v1" else f"/v2/models/{self.model}/infer"
        return f"http://{self.address}{path}"


@dataclass(frozen=True)
class Prediction:
    """One instance's answer.

    Attributes:
        index: Class index; None when the instance failed.
        label: Class name; empty when the model gave only the index.
        scores: Probability by class name; empty when the model gave only the index.
        model: Registry model that answered.
        version: Its version (the commit id).
        number: Its number in the registry; None when unknown.
        error: Why this instance has no answer.
        seconds: Duration of the whole request.
        raw: The answer as it came.
    """

    index: int | None
    label: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    model: str = ""
    version: str = ""
    number: int | None = None
    error: str = ""
    seconds: float = 0.0
    raw: Any = None

    @property
    def score(self) -> float:
        """Probability of the chosen class; NaN when the model did not give it."""
        return self.scores.get(self.label, float("nan"))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what is known, without the answer as it came."""
        values: dict[str, Any] = {
            "index": self.index,
            "label": self.label,
            "scores": dict(self.scores),
            "model": self.model,
        }
        values |= {"version": self.version, "number": self.number, "error": self.error, "seconds": self.seconds}
        return {key: value for key, value in values.items() if value not in ("", {}, None)}


def body_for(endpoint: Endpoint, instances: Sequence[Mapping[str, Any]], *, detail: bool) -> bytes:
    """The JSON body for some instances, in the endpoint's protocol.

    Args:
        endpoint: Where it goes.
        instances: v1 instances: ``{"data": ...}``, base64 text or an object.
        detail: Whether to ask for label, scores and version instead of the bare index.
    """
    if endpoint.protocol == "v1":
        rows = [{**each, "detail": True} if detail else dict(each) for each in instances]
        return json.dumps({"instances": rows}).encode()
    inputs = [
        {
            "name": f"input-{number}",
            "shape": [1],
            "datatype": "BYTES",
            "data": [_as_text(each.get("data"))],
            **({"parameters": {"detail": True}} if detail else {}),
        }
        for number, each in enumerate(instances)
    ]
    return json.dumps({"inputs": inputs}).encode()


def _as_text(data: Any) -> Any:
    """Data for a tensor of BYTES, which holds text: objects as JSON."""
    return json.dumps(data) if isinstance(data, Mapping) else data


def send(
    endpoint: Endpoint,
    instances: Sequence[Mapping[str, Any]],
    *,
    detail: bool = True,
    timeout: float = 30.0,
    progress: Callable[[str], object] | None = None,
) -> list[Prediction]:
    """Ask for predictions.

    Args:
        endpoint: Where the model answers.
        instances: v1 instances: ``{"data": ...}``, base64 text or an object.
        detail: Whether to ask for label, scores and version instead of the bare index.
        timeout: Seconds to wait for the answer. A service that may be scaled to zero gets :data:`WAKE_TIMEOUT_S` at
            least, because the answer takes as long as starting a pod and loading the model.
        progress: Called with one line while such a service starts; the same line each second.

    Returns:
        One prediction per instance, in order.

    Raises:
        PredictionError: Nothing was sent (no instance, too large), or there was no usable answer.
    """
    import requests

    if not instances:
        raise PredictionError("A prediction request needs at least one instance.")
    body = body_for(endpoint, instances, detail=detail)
    if len(body) > endpoint.max_bytes:
        raise PredictionError(
            f"The request has {len(body):,} bytes; the service takes {endpoint.max_bytes:,}.",
            where=endpoint.service,
            fix="Send less at a time, or deploy with a larger --max-request-size.",
        )
    sleepy = endpoint.may_sleep or endpoint.asleep
    timeout = max(timeout, WAKE_TIMEOUT_S) if sleepy else timeout
    try:
        if sleepy and progress is not None:
            answer = _post_and_tell(endpoint, body, timeout, progress)
        else:
            answer = _post(endpoint, body, timeout)
    except requests.Timeout as error:
        raise PredictionError(
            f"No answer within {timeout:.0f} s.",
            where=f"{endpoint.url} (Host: {endpoint.host})",
            fix=f"kubectl get inferenceservice {endpoint.service}  shows whether it is READY; try again if it is.",
        ) from error
    except requests.RequestException as error:
        raise PredictionError(
            f"The ingress doesn't answer: {error}",
            where=endpoint.url,
            fix=f"Compare kserve_ingress_host and kserve_ingress_port in pdk-config with: {FIND_INGRESS}",
        ) from error
    if answer.status_code != 200:
        raise _http_error(endpoint, answer.status_code, answer.text, answer.headers.get("Content-Type", ""))
    return parse(endpoint, answer.content, len(instances), answer.elapsed.total_seconds())


def _post(endpoint: Endpoint, body: bytes, timeout: float) -> requests.Response:
    import requests

    headers = {"Host": endpoint.host, "Content-Type": "application/json"}
    return requests.post(endpoint.url, data=body, headers=headers, timeout=(CONNECT_TIMEOUT_S, timeout))


def _post_and_tell(
    endpoint: Endpoint, body: bytes, timeout: float, progress: Callable[[str], object]
) -> requests.Response:
    """Send the request beside this thread, which tells meanwhile what the answer may wait for."""
    answer: Future[requests.Response] = Future()

    def ask() -> None:
        try:
            answer.set_result(_post(endpoint, body, timeout))
        except BaseException as error:
            answer.set_exception(error)

    # A person who interrupts the wait doesn't have to wait for the answer, too.
    threading.Thread(target=ask, daemon=True).start()
    state = "is scaled to zero, and starts a pod" if endpoint.asleep else "may be scaled to zero, and start a pod"
    pause = 0.0 if endpoint.asleep else SLOW_S
    while not settled([answer], pause).done:
        progress(f"{endpoint.service} {state}; the answer can take up to {timeout:.0f} s")
        pause = REPORT_S
    return answer.result()


def _http_error(endpoint: Endpoint, code: int, text: str, content_type: str) -> PredictionError:
    reply = text.strip()
    if "json" in content_type or reply.startswith("{"):
        try:
            content = json.loads(reply)
            reply = str(content.get("error") or content.get("message") or reply)
        except (ValueError, AttributeError):
            pass
    reply = " ".join(reply.split())[:300]
    if code == 404:
        what = f"404: the ingress knows no service '{endpoint.host}', or the service no model '{endpoint.model}'."
        fix = (
            UNEXPOSED
            if endpoint.host.endswith(INTERNAL)
            else (
                "The Host header is the host of the service's URL (kubectl get inferenceservice), "
                "the name in the path is the registry model's."
            )
        )
    elif code == 413:
        what = "413: the request is larger than the model server takes."
        fix = "Send less at a time, or deploy with a larger --max-request-size."
    elif code == 503:
        what = "503: no worker took the request: the service is starting, overloaded, or its handler failed."
        fix = f"kubectl get inferenceservice {endpoint.service}, then look at the predictor pod's log."
    elif code in (502, 504):
        what = f"{code}: the service doesn't answer the ingress."
        fix = f"kubectl get pods -l serving.kserve.io/inferenceservice={endpoint.service}"
    elif code == 400 and "InvalidKey" in text:
        what = "400: TorchServe asks for its own token."
        fix = "config.properties needs disable_token_authorization=true."
    else:
        what = f"{code}: the service refused the request."
        fix = ""
    where = f"{endpoint.url} (Host: {endpoint.host})"
    return PredictionError(f"{what} It says: {reply}" if reply else what, where=where, fix=fix)


def parse(endpoint: Endpoint, content: bytes, expected: int, seconds: float = 0.0) -> list[Prediction]:
    """Read an answer in either protocol and either shape.

    Raises:
        PredictionError: It is no prediction answer, or has another number of rows than instances were sent.
    """
    try:
        answer = json.loads(content)
        rows = answer["predictions"] if endpoint.protocol == "v1" else [each["data"][0] for each in answer["outputs"]]
        if not isinstance(rows, list):
            raise TypeError("predictions aren't a list")
    except (ValueError, KeyError, IndexError, TypeError) as error:
        start = content[:200].decode(errors="replace")
        raise PredictionError(f"The answer has no predictions: {start}", where=endpoint.url) from error
    if len(rows) != expected:
        raise PredictionError(
            f"Sent {counted(expected, 'instance')}, received {counted(len(rows), 'prediction')}.", where=endpoint.url
        )
    return [_prediction(row, seconds) for row in rows]


def _prediction(row: Any, seconds: float) -> Prediction:
    raw = row
    if isinstance(row, str) and row.startswith("{"):
        row = json.loads(row)
    if isinstance(row, dict):
        if "error" in row:
            return Prediction(None, error=str(row["error"]), seconds=seconds, raw=raw)
        index = row.get("index")
        return Prediction(
            int(index) if index is not None else None,
            label=str(row.get("label", "")),
            scores={str(key): float(value) for key, value in (row.get("scores") or {}).items()},
            model=str(row.get("model", "")),
            version=str(row.get("version", "")),
            number=row.get("number"),
            seconds=seconds,
            raw=raw,
        )
    if isinstance(row, (int, float)) and not isinstance(row, bool):
        return Prediction(int(row), seconds=seconds, raw=raw)
    return Prediction(None, error=f"not a class index: {row!r}", seconds=seconds, raw=raw)


def curl_command(endpoint: Endpoint, body_file: str = "cat.json", *, verbose: bool = False) -> str:
    """The setup guide's curl line with this cluster's values.

    Args:
        endpoint: Where the model answers.
        body_file: JSON file with the request.
        verbose: Whether to show the headers, as the guide does.
    """
    line = ["curl", *(["-v"] if verbose else ["-sS"]), "-H", f"Host: {endpoint.host}"]
    line += ["-H", "Content-Type: application/json", endpoint.url, "-d", f"@{body_file}"]
    return " ".join(f'"{each}"' if " " in each and '"' not in each else shlex.quote(each) for each in line)


def host_of(url: str) -> str:
    """The host of a service's ``status.url``; empty when there is none."""
    return urlsplit(url).netloc
