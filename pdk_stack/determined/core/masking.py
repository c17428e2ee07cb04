"""Masks secrets in experiment configurations wherever users see them; only the trial gets the real values."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import yaml

from pdk_stack.determined.core.expconf.reader import load

__all__ = ["LOAD_DATA", "MASK", "mask", "mask_checkpoint", "mask_submitted", "mask_text", "secret_values", "unmask"]

MASK = "********"
#: Shorter values are not masked in free text.
SHORTEST = 8
_SECRET_KEYS = re.compile(
    r"^key$|(^|_)(passwords?|passwd|passphrase|tokens?|secrets?|credentials?|connection_string"
    r"|(secret|access|api|private|account)_key)$",
    re.IGNORECASE,
)
#: The checkpoint file where the harness stores the whole configuration (``determined.pytorch._load``).
LOAD_DATA = "load_data.json"


def mask(config: dict[str, Any]) -> dict[str, Any]:
    """Return a copy for display, with secrets of ``data``, ``checkpoint_storage``, and the registry masked."""
    shown = dict(config)
    for name in ("data", "checkpoint_storage"):
        if isinstance(shown.get(name), dict):
            shown[name] = _masked(shown[name], everything=False)
    environment = shown.get("environment")
    if isinstance(environment, dict) and environment.get("registry_auth"):
        shown["environment"] = {**environment, "registry_auth": _masked(environment["registry_auth"], everything=False)}
    return shown


def _masked(node: Any, *, everything: bool) -> Any:
    if isinstance(node, dict):
        return {
            key: _masked(value, everything=everything or key == "secrets" or bool(_SECRET_KEYS.search(key)))
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_masked(value, everything=everything) for value in node]
    return MASK if everything and node not in (None, "") else node


def secret_values(config: dict[str, Any]) -> list[str]:
    """Return the values that :func:`mask` hides, longest first; values too short to be distinctive are left out."""
    return [each for each in _hidden(config) if len(each) >= SHORTEST]


def _hidden(config: dict[str, Any]) -> list[str]:
    found: set[str] = set()

    def collect(real: Any, shown: Any) -> None:
        if isinstance(real, dict):
            for key in real:
                collect(real[key], shown[key])
        elif isinstance(real, list):
            for each, other in zip(real, shown, strict=True):
                collect(each, other)
        elif shown == MASK and real != MASK:
            found.add(str(real))

    collect(config, mask(config))
    return sorted(found, key=lambda each: (-len(each), each))


def mask_submitted(text: str, config: dict[str, Any]) -> str:
    """Mask the secrets in a configuration as submitted.

    Args:
        text: YAML.
        config: The parsed configuration.
    """
    if not _hidden(config):
        return text
    # Don't replace text: a bare mask is not valid YAML, and a short value can mean something else elsewhere.
    return yaml.safe_dump(mask(load(text)), sort_keys=False)


def mask_text(text: str, secrets: list[str]) -> str:
    """Mask every secret in a text."""
    for each in secrets:
        if each in text:
            text = text.replace(each, MASK)
    return text


def unmask(config: dict[str, Any], original: dict[str, Any]) -> dict[str, Any]:
    """Restore the secrets that a forked configuration contains only in masked form."""

    def restore(node: Any, source: Any) -> Any:
        if node == MASK and source is not None:
            return source
        if isinstance(node, dict) and isinstance(source, dict):
            return {key: restore(value, source.get(key)) for key, value in node.items()}
        if isinstance(node, list) and isinstance(source, list) and len(node) == len(source):
            return [restore(value, other) for value, other in zip(node, source, strict=True)]
        return node

    restored: dict[str, Any] = restore(config, original)
    return restored


def mask_checkpoint(folder: Path) -> int | None:
    """Mask the secrets in the configuration that the harness stores in a checkpoint; loading needs none of them.

    Returns:
        The new size of ``load_data.json`` in bytes; None when it doesn't change.
    """
    path = folder / LOAD_DATA
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    config = content.get("experiment_config") if isinstance(content, dict) else None
    if not isinstance(config, dict) or mask(config) == config:
        return None
    text = json.dumps({**content, "experiment_config": mask(config)})
    # Readers see the old file or the new one, never a partial one.
    fresh = path.with_name(f".{LOAD_DATA}.new")
    fresh.write_text(text)
    os.chmod(fresh, path.stat().st_mode)
    os.replace(fresh, path)
    return len(text.encode())
