"""Runs KServe's Python model server as a local process: the archive's handler, without Java."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pdk_stack
from pdk_stack.common.service import LOOPBACK, free_port
from pdk_stack.kubernetes.core.inference.failures import ModelServerError
from pdk_stack.kubernetes.core.inference.servers.archive_server import ArchiveServer
from pdk_stack.kubernetes.core.inference.servers.model_folder import ModelFolder
from pdk_stack.kubernetes.core.inference.servers.model_server import request

PYTHON = "kserve-python"
PROGRAM = "pdk_stack.kubernetes.core.inference.servers.mar_server"


class PythonServer(ArchiveServer):
    """KServe's Python model server with the archive's handler; needs no Java."""

    title = "KServe's model server"

    def archive_command(self, model: ModelFolder, scratch: Path) -> list[str]:
        """Return the command line of :mod:`.mar_server`, a small wrapper around KServe's server.

        Raises:
            ModelServerError: There is more than one model: handlers are Python modules whose names would clash.
        """
        if len(model.archives) > 1:
            raise ModelServerError(
                f"The runtime {PYTHON} serves one model; config.properties names {len(model.archives)}."
            )
        name, archive = next(iter(model.archives.items()))
        self.inference_port = free_port()
        program = [sys.executable, "-W", "ignore", "-m", PROGRAM]
        install = model.properties.get("install_py_dep_per_model", "false")
        return [*program, name, str(archive), str(scratch / "model"), str(self.inference_port), self.protocol, install]

    def _process_environment(self, scratch: Path) -> dict[str, str]:
        kept = super()._process_environment(scratch)
        source = str(Path(pdk_stack.__file__).parent.parent)
        return {**kept, "PYTHONPATH": os.pathsep.join([kept["PYTHONPATH"], source])}

    def is_model_ready(self, model: str) -> bool:
        """Return whether the server answers, which it does only once the handler is loaded."""
        return request("GET", f"http://{LOOPBACK}:{self.inference_port}/v1/models/{model}", timeout=2)[0] == 200
