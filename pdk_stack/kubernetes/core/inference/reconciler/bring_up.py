"""Brings up a new revision beside the old one: a place on the node, the model, the servers."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable

from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason, Superseded
from pdk_stack.kubernetes.core.inference.reconciler.serving import Serving
from pdk_stack.kubernetes.core.inference.reconciler.status import Failure
from pdk_stack.kubernetes.core.inference.revisions.credentials import storage_environment
from pdk_stack.kubernetes.core.inference.revisions.replica import Trouble
from pdk_stack.kubernetes.core.inference.revisions.revision import Revision
from pdk_stack.kubernetes.core.inference.revisions.storage_initializer import fetch_model
from pdk_stack.kubernetes.core.volumes import SCHEME, VolumeError, Volumes
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.objects import ObjectStore

log = logging.getLogger(__name__)

# A pipeline creates the service before it finishes the commit with the model; until then, waiting is normal.
MODEL_GRACE_SECONDS = 30.0


class BringUp:
    """Creates the revisions of one service.

    Args:
        store: The cluster's objects.
        volumes: The folders of claims.
        serving: The service's revisions.
    """

    def __init__(self, store: ObjectStore, volumes: Volumes, serving: Serving) -> None:
        self._store = store
        self._volumes = volumes
        self._serving = serving
        self._rollout = serving.rollout
        self._reporter = serving.reporter
        # Its log is kept for troubleshooting.
        self._failed_one: Revision | None = None

    def run(self, service: Object, key: str, superseded: Callable[[], bool]) -> None:
        """Create a revision of the service's current spec, and route traffic to it once it is ready.

        Args:
            service: The service.
            key: The revision key; see :func:`~..revisions.template.revision_key`.
            superseded: Returns whether a newer revision is wanted.

        Raises:
            Superseded: A newer revision is wanted.
        """
        self.forget_failed(service)
        name = f"{self._serving.name}-predictor-{self._rollout.count + 1:05d}"
        self._rollout.save(count=self._rollout.count + 1, key=key, failed="")
        # The first write after the change says not ready, so that waiting clients don't see the old revision's READY.
        self._serving.status(service, name, "Pending")
        self._reporter.event(service, "Normal", "RevisionCreated", f"Created revision {name}")
        revision: Revision | None = None
        try:
            revision = self._serving.coming = self._serving.make(name, service)
            self._load(service, revision, superseded)
        except Superseded:
            self._reporter.event(service, "Normal", "RevisionSuperseded", f"{name} is not wanted any more")
            if revision is not None:
                self._serving.retire(revision, wait=False)
            raise
        except Exception as error:
            # Whatever it is, another revision of the same spec would fail as well.
            if not isinstance(error, (ModelServerError, StatusError, OSError)):
                log.exception("failed to bring up %s", name)
                error = ModelServerError(f"{type(error).__name__}: {error}", reason=Reason.INTERNAL_ERROR)
            self._fail(service, key, revision, name, error)
            return
        finally:
            self._serving.coming = None
        revision.rollout = False
        self._serving.revisions[name] = revision
        self._rollout.save(ready=name)
        self._serving.share(service, superseded)
        self._reporter.event(service, "Normal", "InferenceServiceReady", f"{name} serves")
        log.info("%s serves with %d replicas", name, revision.replicas.ready)

    def _load(self, service: Object, revision: Revision, superseded: Callable[[], bool]) -> None:
        def blocked(why: str) -> None:
            self._serving.blocked(service, revision, why)

        shutil.rmtree(revision.folder, ignore_errors=True)
        revision.check()
        revision.place(superseded, blocked)
        # The pod has its place.
        self._serving.status(service, revision.name, "Pending")
        revision.folder.mkdir(parents=True, exist_ok=True)
        if revision.uri:
            self._fetch(service, revision, superseded)
        self._serving.status(service, revision.name, "Loading")
        revision.start(superseded, blocked)
        if superseded():
            raise Superseded

    def _fetch(self, service: Object, revision: Revision, superseded: Callable[[], bool]) -> None:
        """Fetch a revision's model with its service account's credentials."""
        source, namespace = revision.uri, self._serving.namespace
        if source.startswith(SCHEME):
            try:
                source = str(self._volumes.path(namespace, source))
            except VolumeError as error:
                raise ModelServerError(str(error), reason=Reason.STORAGE_NOT_FOUND) from error
        begun = time.monotonic()

        def failed(why: str, absent: bool) -> None:
            if absent and time.monotonic() - begun < MODEL_GRACE_SECONDS:
                text = f"The model is not there yet: {why}"
                self._serving.status(service, revision.name, "Pending", waiting=text)
                self._reporter.event(service, "Normal", "WaitingForModel", f"{revision.name}: {text}")
                return
            reason = Reason.STORAGE_NOT_FOUND if absent else Reason.STORAGE_FAILED
            failure = Failure(reason, f"{why} (it is tried again)")
            self._serving.status(service, revision.name, "Pending", failure)
            revision.fetch_trouble = Trouble(reason.value, why)
            self._serving.show_pods(revision)
            self._reporter.event(service, "Warning", reason.value, f"{revision.name}: {why}")

        environment = storage_environment(self._store, service, revision.folder)
        fetch_model(source, revision.folder, environment, failed, superseded)
        revision.fetch_trouble = None

    def _fail(self, service: Object, key: str, revision: Revision | None, name: str, error: Exception) -> None:
        log.warning("%s failed: %s", name, error)
        trouble = Trouble.of(error, final=True)
        failure = Failure(Reason(trouble.reason), trouble.message, trouble.exit_code)
        self._rollout.save(
            failed=key,
            failed_name=name,
            failure=failure.message,
            reason=failure.reason.value,
            exit_code=failure.exit_code,
        )
        if revision is not None:
            revision.fail(trouble)
            self._failed_one = revision
            if not failure.reason.in_spec:
                self._serving.show_pods(revision)
        self._reporter.event(service, "Warning", failure.reason.value, f"{name}: {failure.message}")
        self._serving.status(service, name, "FailedToLoad", failure)

    def close(self) -> None:
        """Stop the failed revision; its files stay."""
        if self._failed_one is not None:
            self._failed_one.close()
            self._failed_one = None

    def forget_failed(self, service: Object | None) -> None:
        """Delete the failed revision's files, and its objects if the service still exists."""
        self.close()
        if self._rollout.failed_name:
            if service is not None:
                self._reporter.gone(service, self._rollout.failed_name)
            shutil.rmtree(self._serving.folder / self._rollout.failed_name, ignore_errors=True)
            self._rollout.save(failed_name="")
