"""The ingress's own and the model servers' answers, in the words of KServe's and TorchServe's servers."""

from __future__ import annotations

import json
from typing import Any

from pdk_stack.kubernetes.api.ingress.server import JSON, Answer
from pdk_stack.kubernetes.core.inference.revisions.revision import Revision
from pdk_stack.third_party.kserve import RELEASE

KEPT_HEADERS = {"content-type": "Content-Type", "x-request-id": "X-Request-Id"}


def local_answer(method: str, path: str, revision: Revision) -> Answer | None:
    """Answer the paths that KServe's TorchServe wrapper answers itself."""
    if method != "GET" or revision.custom:
        return None
    if path in ("/", "/v1/health", "/v2/health/live"):
        return _reply(200, {"status": "alive"} if path != "/v2/health/live" else {"live": True})
    if path == "/v2/health/ready":
        return _reply(200, {"ready": True})
    if path == "/v2":
        extensions = ["model_repository_extension"]
        return _reply(200, {"name": "kserve", "version": RELEASE, "extensions": extensions})
    if path in ("/v1/models", "/v2/models"):
        return _reply(200, {"models": revision.models})
    for version in ("v1", "v2"):
        name = path.removeprefix(f"/{version}/models/")
        ready = version == "v2" and name.endswith("/ready")
        name = name.removesuffix("/ready") if ready else name
        if name == path or "/" in name or ":" in name:
            continue
        if name not in revision.models:
            known = ", ".join(revision.models)
            return error(404, f"Model with name {name} does not exist. Models here: {known}")
        if version == "v1" or ready:
            return _reply(200, {"name": name, "ready": True})
        return _reply(200, {"name": name, "platform": "pytorch", "inputs": [], "outputs": []})
    return None


def upstream_answer(code: int, got: dict[str, str], content: bytes, path: str, revision: Revision) -> Answer:
    """Convert a model server's answer for the client; refusals say what to do.

    Args:
        code: The server's status.
        got: The server's headers by lowercase name.
        content: The body.
        path: The requested path.
        revision: The revision that answered.
    """
    if code == 413:
        return error(413, "The model server refuses a request of this size; shrink the picture.")
    if code == 404 and path.startswith(("/v1/models/", "/v2/models/")):
        known = ", ".join(revision.models)
        return error(404, f"The model in {path} is not served here. Models here: {known}")
    if code == 503:
        # TorchServe returns 503 both when it is busy and when the handler failed; only the first is worth a retry.
        try:
            told = json.loads(content)
        except ValueError:
            told = {}
        if not isinstance(told, dict) or told.get("type") != "InternalServerException":
            return busy(f"{revision.name}: {told.get('message', 'busy') if isinstance(told, dict) else 'busy'}")
        return error(500, f"The model's handler failed: {told.get('message', 'no reason given')}")
    # TorchServe's successful answers have no content type.
    return Answer(code, {**JSON, **kept_headers(got)}, content)


def kept_headers(got: dict[str, str]) -> dict[str, str]:
    """Return the model server's headers that the client gets."""
    return {KEPT_HEADERS[name]: value for name, value in got.items() if name in KEPT_HEADERS}


def _reply(code: int, content: dict[str, Any]) -> Answer:
    return Answer(code, dict(JSON), json.dumps(content).encode())


def error(code: int, message: str) -> Answer:
    """Format an error as KServe's servers do."""
    return _reply(code, {"error": message})


def busy(message: str) -> Answer:
    """Ask the client to retry in a second."""
    answer = error(503, message)
    answer.headers["Retry-After"] = "1"
    return answer
