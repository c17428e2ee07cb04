"""Model servers of TorchServe archives: what TorchServe and KServe's Python server have in common."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from pdk_stack.kubernetes.core.inference.servers.model_folder import ModelFolder
from pdk_stack.kubernetes.core.inference.servers.model_server import ModelServer


class ArchiveServer(ModelServer):
    """A server of TorchServe archives with their ``config.properties``."""

    def command(self, scratch: Path) -> list[str]:
        """The command line for the archives of the model's folder.

        Raises:
            ModelServerError: The folder has no usable configuration or archive.
        """
        model = ModelFolder(self.folder / "mnt" / "models")
        self.models = list(model.archives)
        return self.archive_command(model, scratch)

    @abstractmethod
    def archive_command(self, model: ModelFolder, scratch: Path) -> list[str]:
        """The command line of the server.

        Args:
            model: What it serves.
            scratch: A folder that goes with the process.
        """

    def is_ready(self) -> bool:
        """Whether every model can be asked."""
        return all(self.is_model_ready(model) for model in self.models)

    @abstractmethod
    def is_model_ready(self, model: str) -> bool:
        """Whether a model can be asked."""
