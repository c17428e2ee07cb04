"""The common base of TorchServe and KServe's Python server: model servers for TorchServe archives."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from pdk_stack.kubernetes.core.inference.servers.model_folder import ModelFolder
from pdk_stack.kubernetes.core.inference.servers.model_server import ModelServer


class ArchiveServer(ModelServer):
    """A server for TorchServe archives and their ``config.properties``."""

    def command(self, scratch: Path) -> list[str]:
        """Return the command line for the archives in the model's folder.

        Raises:
            ModelServerError: The folder has no usable configuration or archive.
        """
        model = ModelFolder(self.folder / "mnt" / "models")
        self.models = list(model.archives)
        return self.archive_command(model, scratch)

    @abstractmethod
    def archive_command(self, model: ModelFolder, scratch: Path) -> list[str]:
        """Return the server's command line.

        Args:
            model: The model's folder.
            scratch: A folder that is deleted with the process.
        """

    def is_ready(self) -> bool:
        """Return whether every model is ready."""
        return all(self.is_model_ready(model) for model in self.models)

    @abstractmethod
    def is_model_ready(self, model: str) -> bool:
        """Return whether a model is ready."""
