"""What the deployment tests share: a tiny model whose answers are known, its archive, and pictures."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch
from PIL import Image

from pdk_nb.packaging import archive, torchserve_config
from pdk_nb.tasks import for_stages

HANDLER = Path(__file__).resolve().parents[2] / "examples" / "dog-cat" / "handler" / "dog_cat_handler.py"
SIZE = 8
PREPROCESS = (HANDLER.parents[1] / "experiment" / "preprocess.py").read_text()


class RedOrBlue(torch.nn.Module):
    """Class 1 (cat) for red pictures, class 0 (dog) for blue ones: a model that a test can predict."""

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        self.sign = torch.nn.Parameter(torch.tensor(sign))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        means = batch.mean(dim=(2, 3))
        gap = 4 * self.sign * (means[:, 0] - means[:, 2])
        return torch.stack([-gap, gap], dim=1)


def save_script(target: Path, sign: float = 1.0) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(RedOrBlue(sign).eval()), str(target))
    return target


def model_folder(folder: Path, version: str, sign: float = 1.0, name: str = "dogs-and-cats") -> Path:
    """A folder as a service's storageUri names it, with the tiny model."""
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = folder / "preprocess.py"
    preprocess.write_text(PREPROCESS)
    script = save_script(folder / "script.pt", sign)
    archive.build(
        script,
        name=name,
        version=version,
        number=int(version.strip("v") or 0) if version.strip("v").isdigit() else None,
        handler=HANDLER,
        classes=["dog", "cat"],
        facts={"image_size": SIZE},
        shared_modules=tuple(for_stages().shared_modules),
        extra_files=[preprocess],
        out_dir=folder / "model-store",
    )
    script.unlink()
    preprocess.unlink()
    torchserve_config.write(folder, name, version)
    return folder


def picture(colour: tuple[int, ...] | int = (255, 0, 0), mode: str = "RGB", kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (20, 16), colour).save(buffer, kind)
    return buffer.getvalue()


RED, BLUE = picture((255, 0, 0)), picture((0, 0, 255))
