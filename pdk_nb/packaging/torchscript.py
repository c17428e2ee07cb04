"""From a trained Determined checkpoint to a TorchScript file that gives the same answers."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_shared.errors import DeploymentError

if TYPE_CHECKING:
    import torch

__all__ = ["export", "load_model"]

# Scripted and eager code may fuse operations differently; single precision allows about this much.
TOLERANCE = 1e-4
CHECK_BATCHES = (1, 3)


def load_model(checkpoint: Path) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Build the trial of a checkpoint from the code in it, with its weights.

    Args:
        checkpoint: A downloaded checkpoint of a PyTorchTrial.

    Returns:
        The trial's (first) model in evaluation mode, and its hyperparameters.

    Raises:
        DeploymentError: The checkpoint isn't from a PyTorchTrial, or its code doesn't run here.
    """
    from determined.pytorch._load import load_trial_from_checkpoint_path

    try:
        # A checkpoint holds more than weights (numpy's random state), and loading it runs its code in any case: it is
        # the experiment's own, fetched from the registry with the pipeline's credentials.
        with _own_modules(checkpoint / "code"):
            trial = load_trial_from_checkpoint_path(
                str(checkpoint), torch_load_kwargs={"map_location": "cpu", "weights_only": False}
            )
        loaded = json.loads((checkpoint / "load_data.json").read_text())
    except Exception as error:  # the trial's own code may raise anything
        raise DeploymentError(
            f"Can't load the checkpoint's trial: {type(error).__name__}: {error}",
            where=str(checkpoint),
            fix="Its code must run without data and pretrained weights when SERVING_MODE is true, "
            "and its packages must be in the deploy image.",
        ) from error
    model = getattr(trial, "model", None)
    if model is None:
        context = getattr(trial, "context", None)
        models = getattr(context, "models", None) or []
        if len(models) != 1:
            raise DeploymentError("The trial doesn't set the model to serve.", fix="Set self.model in the trial.")
        model = models[0]
    model.eval()
    return model, dict(loaded.get("hparams") or {})


@contextlib.contextmanager
def _own_modules(code: Path) -> Iterator[None]:
    """Let a checkpoint's code import its own modules: those of another checkpoint have the same names."""
    names = {path.stem for path in code.glob("*.py")}
    aside = {name: sys.modules.pop(name) for name in names & set(sys.modules)}
    try:
        yield
    finally:
        sys.modules.update(aside)


def export(model: torch.nn.Module, input_shape: tuple[int, ...], target: Path, *, outputs: int | None = None) -> str:
    """Save a model as TorchScript, and check that the file gives the model's own answers.

    Args:
        model: In evaluation mode.
        input_shape: Shape of one input, without the batch: channels, rows, columns of a picture, for example.
        target: File to write.
        outputs: Required number of outputs; not checked when None.

    Returns:
        ``scripted`` or ``traced``.

    Raises:
        DeploymentError: The model can't be scripted or traced, or the result differs.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    samples = [torch.randn(count, *input_shape, generator=generator) for count in CHECK_BATCHES]
    with torch.inference_mode():
        expected = [model(each) for each in samples]
    shape = tuple(getattr(expected[-1], "shape", ()))
    if len(shape) != 2 or (outputs is not None and shape[1] != outputs):
        wanted = f"{outputs} scores" if outputs is not None else "one row of scores"
        raise DeploymentError(f"The model returns {shape[1:] or 'no tensor'} per input instead of {wanted}.")
    reasons = []
    with warnings.catch_warnings():
        # torch 2.12 announces TorchScript's retirement at every call; TorchServe has no other format to offer.
        warnings.simplefilter("ignore")
        # torch gives no types for these functions.
        jit: Any = torch.jit
        for way in ("scripted", "traced"):
            try:
                jit.save(jit.script(model) if way == "scripted" else jit.trace(model, samples[-1]), str(target))
                saved = jit.load(str(target), map_location="cpu")
                with torch.inference_mode():
                    answers = [saved(each) for each in samples]
            except Exception as error:  # the compiler raises many kinds
                reasons.append(f"not {way}: {str(error).strip().splitlines()[0] if str(error).strip() else error!r}")
                continue
            gaps = [
                float(((got - want).abs() / (1 + want.abs())).max())
                for got, want in zip(answers, expected, strict=True)
            ]
            if max(gaps) <= TOLERANCE:
                return way
            reasons.append(f"{way}, but its answers differ by up to {max(gaps):.2g}")
    raise DeploymentError("Can't save the model as TorchScript: " + "; ".join(reasons))
