"""A checkpoint becomes the folder that the service sees: TorchScript, archive, configuration."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pdk_nb import tasks
from pdk_nb.packaging import archive, torchserve_config
from pdk_nb.stages.deploy_options import DeployOptions
from pdk_nb.stages.experiment import HANDLER_FOLDER
from pdk_nb.stages.model_info import ModelInfo
from pdk_shared.errors import DeploymentError

__all__ = ["export", "pack"]

# How the experiment prepares an input for the model; the handler imports it.
PREPROCESS = "preprocess.py"


@contextmanager
def _serving_mode() -> Iterator[None]:
    """Set ``SERVING_MODE=true``: the trial then needs neither data nor pretrained weights."""
    before = os.environ.get("SERVING_MODE")
    os.environ["SERVING_MODE"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["SERVING_MODE"]
        else:
            os.environ["SERVING_MODE"] = before


def export(folder: Path, info: ModelInfo) -> tuple[Path, tuple[int, ...]]:
    """Save the checkpoint's model as TorchScript.

    Args:
        folder: Has ``checkpoint``, and gets ``model.pt``.
        info: The model version.

    Returns:
        The file, and the shape of one input.

    Raises:
        DeploymentError: The model cannot be built or exported.
    """
    # Late: torch takes seconds to import.
    from pdk_nb.packaging import torchscript

    code = folder / "checkpoint" / "code"
    if not code.is_dir():
        raise DeploymentError("The checkpoint has no code, so its model can't be built.", where=str(code))
    with _serving_mode():
        model, hparams = torchscript.load_model(folder / "checkpoint")
    shape = tasks.for_stages(info.task).input_shape(info.extra, hparams)
    target = folder / "model.pt"
    torchscript.export(model, shape, target, outputs=len(info.classes) or None)
    return target, shape


def _handler(code: Path, options: DeployOptions) -> Path:
    """The handler of the command line, or else the one that travelled with the checkpoint, or else the image's."""
    own = sorted((code / HANDLER_FOLDER).glob("*.py"))
    if options.own_handler or not own:
        return options.handler
    if len(own) > 1:
        names = ", ".join(path.name for path in own)
        raise DeploymentError(f"The checkpoint has several handlers: {names}.", fix="Choose one with --handler.")
    return own[0]


def pack(folder: Path, script: Path, shape: tuple[int, ...], info: ModelInfo, options: DeployOptions) -> Path:
    """Build the archive and the configuration, and check both.

    Args:
        folder: Has ``checkpoint``, which is deleted, and gets ``served``.
        script: The TorchScript file.
        shape: Shape of one input.
        info: The model version.
        options: The command line.

    Returns:
        The folder that the service sees.

    Raises:
        DeploymentError: The archive cannot be built or served.
    """
    target, task = folder / "served", tasks.for_stages(info.task)
    preprocess = folder / "checkpoint" / "code" / PREPROCESS
    if not preprocess.is_file():
        raise DeploymentError(
            f"The checkpoint's code has no {PREPROCESS}, which the handler needs.",
            fix="It prepares an input for the model: the same code for validation and for serving.",
        )
    archive.build(
        script,
        name=info.name,
        version=info.version,
        number=info.number or None,
        handler=_handler(preprocess.parent, options),
        classes=info.classes or task.default_classes(),
        facts=task.handler_facts(info.extra, shape),
        shared_modules=tuple(task.shared_modules),
        extra_files=[preprocess],
        training_code=preprocess.parent,
        out_dir=target / "model-store",
    )
    limit = options.max_request_size
    torchserve_config.write(target, info.name, info.version, max_request_size=limit, max_response_size=limit)
    findings = [each for each in torchserve_config.lint_folder(target) if each.error]
    if findings:
        raise DeploymentError("The model folder isn't servable: " + "; ".join(map(str, findings)))
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return target
