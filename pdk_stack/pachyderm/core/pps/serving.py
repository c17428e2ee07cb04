"""Long-running code: services, which expose one datum, and spouts, which produce data.

A process that exits is restarted, as Kubernetes restarts a container.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.common.errors import Refusal
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.datums import Datum
from pdk_stack.pachyderm.core.pps.environment import Setting, datum_environment, wait_for_secrets
from pdk_stack.pachyderm.core.pps.forward import forward
from pdk_stack.pachyderm.core.pps.jobs import TERMINAL_SQL, Job
from pdk_stack.pachyderm.core.pps.pipelines import Pipeline
from pdk_stack.pachyderm.core.pps.worker import Worker

log = logging.getLogger("pdk_stack.pachyderm.serving")

RESTART_S = 1.0


def serve(setting: Setting, job: Job, datum: Datum, cancelled: threading.Event) -> None:
    """Run a service's code on a datum until a newer job replaces it or it is canceled."""
    engine = setting.context.engine
    replaced = threading.Event()

    def newer(connection: sqlite3.Connection) -> bool | None:
        query = f"SELECT 1 FROM jobs WHERE pipeline = ? AND pk > ? AND state NOT IN ({TERMINAL_SQL})"
        return True if connection.execute(query, (job.pipeline_pk, job.pk)).fetchone() else None

    def watch() -> None:
        engine.wait_for(newer, lambda: not cancelled.is_set())
        replaced.set()

    threading.Thread(target=watch, name="service-watch", daemon=True).start()
    worker = Worker(setting, job, 0, setting.context.work / str(job.pk) / "0", cancelled)
    try:
        root = "/pfs" if setting.context.sandbox.has_namespace else str(worker.space.pfs)
        variables = datum_environment(datum, job.id, root)
        worker.space.lay_out(engine, datum, variables)
        with (
            _opened(setting, setting.pipeline.details.service),
            setting.context.running.datum(job.pk, worker.name, datum),
        ):
            _keep_running(worker, setting.pipeline, replaced.is_set, variables, replaced)
    finally:
        worker.close()


def _opened(setting: Setting, service: pps_pb2.Service) -> AbstractContextManager[None]:
    return forward(setting.context.host, service.external_port, service.internal_port)


def _keep_running(
    worker: Worker, pipeline: Pipeline, stop: Callable[[], bool], variables: dict[str, str], pause: threading.Event
) -> None:
    transform = pipeline.details.transform
    while not stop():
        worker.log("beginning to run user code")
        outcome = worker.run(list(transform.cmd), list(transform.stdin), stop, variables, limited=False)
        if not stop():
            reason = worker.why(outcome)
            worker.log(f"errored running user code: {reason}" if reason else "user code ended; it is started again")
            pause.wait(RESTART_S)


class Spout:
    """The code of one version of a spout pipeline.

    Args:
        context: The workers' shared context.
        pipeline: The pipeline.
    """

    def __init__(self, context: Context, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._context = context
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"spout-{pipeline.name}", daemon=True)

    def start(self) -> None:
        """Start the spout."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Stop the spout; wait at most ``timeout`` seconds."""
        self._stopped.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        context, pipeline = self._context, self.pipeline
        folder = context.work / f"spout-{pipeline.pk}-{pipeline.version}" / "0"

        def complain(reason: str) -> None:
            context.logs.write(pipeline.pk, reason, master=True)

        while not self._stopped.is_set():
            image = context.images.find(pipeline.details.transform.image)
            assert image is not None, "the scheduler starts only what can run"
            secrets = wait_for_secrets(context, pipeline.details.transform, self._stopped, complain)
            if secrets is None:
                return
            setting = Setting(context, pipeline, image, secrets)
            worker = Worker(setting, None, 0, folder, self._stopped)
            worker.space.renew()
            try:
                with _opened(setting, pipeline.details.spout.service):
                    _keep_running(worker, pipeline, self._stopped.is_set, {}, self._stopped)
            except Refusal as error:
                worker.log(error.message)
            except Exception:
                log.exception("spout %s failed", pipeline)
            finally:
                worker.close()
            self._stopped.wait(RESTART_S)
