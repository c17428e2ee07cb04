"""The forms of single entries: what the user may write in several ways, the master shows in one."""

from __future__ import annotations

import random
from typing import Any

__all__ = [
    "IMAGE",
    "device_of",
    "image_of",
    "log_action",
    "log_policy",
    "new_name",
    "typed",
    "variables_of",
]

#: What the configuration shows as image: a trial is a local process.
IMAGE = "embedded"


def log_policy(policy: dict[str, Any]) -> dict[str, Any]:
    """Return a log policy without nulls."""
    shown = {**policy, "action": log_action(policy.get("action"))}
    return {key: value for key, value in shown.items() if value is not None}


def log_action(action: Any) -> Any:
    """Return a log policy's action; an older form has it in a map."""
    return action["type"] if isinstance(action, dict) else action


def image_of(image: Any) -> dict[str, str]:
    """Return an image by device."""
    if isinstance(image, str):
        return dict.fromkeys(("cpu", "cuda", "rocm"), image)
    image = image or {}
    cuda = image.get("cuda") or image.get("gpu")
    return {"cpu": image.get("cpu") or IMAGE, "cuda": cuda or IMAGE, "rocm": image.get("rocm") or IMAGE}


def variables_of(variables: Any) -> dict[str, list[str]]:
    """Return environment variables by device."""
    if not isinstance(variables, dict):
        return {device: list(variables or []) for device in ("cpu", "cuda", "rocm")}
    cuda = variables["cuda"] if variables.get("cuda") is not None else variables.get("gpu")
    found = {"cpu": variables.get("cpu"), "cuda": cuda, "rocm": variables.get("rocm")}
    return {device: list(each or []) for device, each in found.items()}


def device_of(device: Any) -> Any:
    """Return a device as a map; it can also be written ``host:container:mode``."""
    if isinstance(device, dict):
        return {"mode": "mrw", **{key: value for key, value in device.items() if value is not None}}
    host, container, *mode = str(device).split(":")
    return {"host_path": host, "container_path": container, "mode": mode[0] if mode else "mrw"}


def typed(space: dict[str, Any]) -> dict[str, Any]:
    """Convert plain values to constants, as the master shows them."""
    result = {}
    for name, node in space.items():
        if not isinstance(node, dict):
            result[name] = {"type": "const", "val": node}
        elif "type" in node:
            result[name] = {"count": None, **node} if node["type"] in ("int", "double", "log") else node
        else:
            result[name] = typed(node)
    return result


_NAME_WORDS = (
    ("brisk", "calm", "daring", "eager", "fair", "gentle", "happy", "keen", "lively", "mellow", "noble", "quiet"),
    ("badger", "crane", "dolphin", "egret", "finch", "gecko", "heron", "ibis", "lynx", "marten", "otter", "puffin"),
)


def new_name() -> str:
    """Return a name for an experiment that has none."""
    return "-".join(random.choice(words) for words in (_NAME_WORDS[0], *_NAME_WORDS))
