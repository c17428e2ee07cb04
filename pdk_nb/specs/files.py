"""Read and write specs as files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdk_nb.specs.parameters import pipelines_folder
from pdk_nb.specs.template import FILES, render
from pdk_shared.errors import SpecError

# In pipeline specs these maps hold user-defined names; their keys are not fields.
FREE_KEYS = {"env", "annotations", "labels", "nodeSelector"}


def camel_case(value: Any, key: str = "") -> Any:
    """A spec with the camelCase keys of Pachyderm's JSON schema; values stay unchanged."""
    if isinstance(value, Mapping):
        if key in FREE_KEYS:
            return dict(value)
        return {
            re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name): camel_case(each, name)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [camel_case(each) for each in value]
    return value


def text(spec: Mapping[str, Any]) -> str:
    """A spec in the form of its file."""
    return json.dumps(spec, indent=2) + "\n"


def read(path: Path) -> dict[str, Any]:
    """A spec from its file.

    Raises:
        SpecError: It can't be read, or isn't a pipeline spec.
    """
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"Can't read the pipeline spec: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise SpecError(f"The pipeline spec isn't JSON: {error}", where=str(path)) from error
    if not isinstance(spec, dict) or not {"pipeline", "transform", "input"} <= set(spec):
        raise SpecError("This isn't a pipeline spec: it lacks pipeline, input, or transform.", where=str(path))
    return spec


def write(example: str = "", folder: Path | None = None) -> list[Path]:
    """Write the rendered specs of both variants next to the example's description.

    Args:
        example: Folder name under ``examples``; the default example when empty.
        folder: Folder to write to; the example's pipelines folder when None.
    """
    folder = folder or pipelines_folder(example)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for variant in ("cloud", "onprem"):
        for name, spec in zip(FILES[variant], render(example, variant), strict=True):
            (folder / name).write_text(text(spec))
            written.append(folder / name)
    return written
