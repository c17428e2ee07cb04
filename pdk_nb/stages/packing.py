"""A checkpoint becomes the folder that the service sees: TorchScript, archive, configuration."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pdk_nb.packaging import archive, torchserve_config
from pdk_nb.stages.deploy_options import DeployOptions
from pdk_nb.stages.model_info import FILE_NAME, ModelInfo
from pdk_shared.errors import DeploymentError

__all__ = ["export", "pack"]

# The experiment's evaluation transform, which the handler imports.
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


def export(folder: Path, info: ModelInfo) -> tuple[Path, int]:
    """Save the checkpoint's model as TorchScript.

    Args:
        folder: Has ``checkpoint``, and gets ``model.pt``.
        info: The model version.

    Returns:
        The file, and the side of the model's input in pixels.

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
    size = info.image_size or int(hparams.get("image_size") or 0)
    if not size:
        raise DeploymentError("The size of the model's pictures is unknown.", where=FILE_NAME, fix="image_size: 224")
    target = folder / "model.pt"
    classes = len(info.classes) or None
    torchscript.export(model, (3, size, size), target, outputs=classes)
    return target, size


def pack(folder: Path, script: Path, size: int, info: ModelInfo, options: DeployOptions) -> Path:
    """Build the archive and the configuration, and check both.

    Args:
        folder: Has ``checkpoint``, which is deleted, and gets ``served``.
        script: The TorchScript file.
        size: Side of the model's input in pixels.
        info: The model version.
        options: The command line.

    Returns:
        The folder that the service sees.

    Raises:
        DeploymentError: The archive cannot be built or served.
    """
    target = folder / "served"
    preprocess = folder / "checkpoint" / "code" / PREPROCESS
    if not preprocess.is_file():
        raise DeploymentError(
            f"The checkpoint's code has no {PREPROCESS}, which the handler needs.",
            fix="The experiment's evaluation transform lives there: eval_transform(size).",
        )
    archive.build(
        script,
        name=info.name,
        version=info.version,
        number=info.number or None,
        handler=options.handler,
        classes=info.classes or ("dog", "cat"),
        image_size=size,
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
