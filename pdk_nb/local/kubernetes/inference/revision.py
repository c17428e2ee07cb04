"""A revision: one immutable version of a service, in a folder of its own, with its own model server."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pdk_nb.local.kubernetes.inference.torchserve import ModelServerError, TorchServe, end_group
from pdk_nb.local.kubernetes.kinds import Object

FETCH_SECONDS = 180.0
LOAD_SECONDS = 120.0
DRAIN_SECONDS = 30.0
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@functools.cache
def warm_up_body() -> bytes:
    """A prediction request with a small grey picture: valid for every image handler."""
    from PIL import Image

    picture = io.BytesIO()
    Image.new("RGB", (32, 32), (127, 127, 127)).save(picture, "JPEG")
    return json.dumps({"instances": [{"data": base64.b64encode(picture.getvalue()).decode()}]}).encode()


class Superseded(Exception):
    """A newer revision has been asked for; this one is not needed any more."""


def revision_key(service: Object) -> str:
    """What makes a new revision: spec, annotations and labels, as in Knative's revision template.

    Annotations count because ``pach_id`` is how a new model version at the same place is rolled out.
    """
    meta = service["metadata"]
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key != LAST_APPLIED}
    text = json.dumps([service["spec"], notes, meta.get("labels") or {}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Revision:
    """One revision of one service.

    Args:
        name: ``<service>-predictor-00001`` and so on.
        folder: Where its files lie.
        service: The InferenceService that it was made from.
    """

    def __init__(self, name: str, folder: Path, service: Object) -> None:
        self.name = name
        self.folder = folder
        self.service = service
        self.inflight = 0
        self._idle = threading.Condition()
        model = service["spec"]["predictor"].get("model") or {}
        self.uri = str(model.get("storageUri") or "")
        self.protocol = str(model.get("protocolVersion") or "v1")
        environment = {str(each["name"]): str(each.get("value", "")) for each in model.get("env") or []}
        self.server = TorchServe(folder, self.protocol, environment)

    @property
    def models(self) -> list[str]:
        """Names of the models that it serves."""
        return self.server.models

    @property
    def port(self) -> int:
        """Port of its inference listener."""
        return self.server.inference_port

    def check(self) -> None:
        """Refuse what the embedded runtime cannot serve.

        Raises:
            ModelServerError: The predictor is of another kind.
        """
        predictor = self.service["spec"]["predictor"]
        model = predictor.get("model")
        if not isinstance(model, dict):
            given = ", ".join(sorted(key for key in predictor if key not in ("serviceAccountName",))) or "nothing"
            raise ModelServerError(f"The embedded runtime serves PyTorch models only; the predictor has {given}.")
        framework = (model.get("modelFormat") or {}).get("name")
        if framework != "pytorch":
            raise ModelServerError(f"The embedded runtime serves modelFormat pytorch, not {framework}.")
        if not self.uri:
            raise ModelServerError("The predictor has no storageUri.")

    def fetch(
        self, environment: dict[str, str], on_failure: Callable[[str], None], superseded: Callable[[], bool]
    ) -> None:
        """Bring the model into ``mnt/models``.

        Args:
            environment: Storage credentials.
            on_failure: Told the reason of each failed try.
            superseded: Whether a newer revision is wanted; then the fetch is given up.

        Raises:
            ModelServerError: It could not be fetched in time.
            Superseded: A newer revision is wanted.
        """
        target = self.folder / "mnt" / "models"
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-W", "ignore", "-m", "pdk_nb.local.kubernetes.inference.fetch"]
        command += [self.uri, str(target), str(FETCH_SECONDS)]
        with (self.folder / "storage-initializer.log").open("wb") as sink:
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                start_new_session=True,
                text=True,
            )
        reasons = ["the storage initialiser ended without a word"]

        def read() -> None:
            for line in process.stdout or ():
                reason = str(json.loads(line)["reason"]) if line.startswith("{") else line.strip()
                reasons.append(reason)
                on_failure(reason)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        while process.poll() is None:
            if superseded():
                end_group(process)
                raise Superseded
            time.sleep(0.05)
        reader.join(5)
        if process.stdout:
            process.stdout.close()
        if process.returncode:
            raise ModelServerError(f"storage-initializer: {reasons[-1]}", process.returncode)

    def start(self) -> None:
        """Start the model server and wait until it serves, warmed up.

        Raises:
            ModelServerError: The model does not load.
        """
        self.server.start()
        self.server.wait_ready(LOAD_SECONDS)
        self.server.warm_up(warm_up_body())

    def enter(self) -> None:
        """Count a request in."""
        with self._idle:
            self.inflight += 1

    def leave(self) -> None:
        """Count a request out."""
        with self._idle:
            self.inflight -= 1
            self._idle.notify_all()

    def drain_and_stop(self, seconds: float = DRAIN_SECONDS) -> None:
        """Let the requests under way end, then end the server and delete the folder."""
        deadline = time.monotonic() + seconds
        with self._idle:
            while self.inflight and (left := deadline - time.monotonic()) > 0:
                self._idle.wait(left)
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def describe(self) -> dict[str, Any]:
        """What a restart needs to serve this revision again without fetching it."""
        return {"name": self.name, "folder": str(self.folder)}
