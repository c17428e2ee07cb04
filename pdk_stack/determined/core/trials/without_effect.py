"""Settings that need a container: a trial is a local process, and its log says what has no effect."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.core.expconf.forms import IMAGE

__all__ = ["without_effect"]


def without_effect(config: dict[str, Any]) -> list[str]:
    """Return a sentence for each setting of an experiment that its trials don't get.

    Args:
        config: The complete configuration.
    """
    found = [
        f"bind_mounts: {each['container_path']} is not mounted; on this machine, the trial finds {each['host_path']} "
        "under its own path"
        for each in config["bind_mounts"]
    ]
    environment, resources = config["environment"], config["resources"]
    images = sorted({each for each in environment["image"].values() if each != IMAGE})
    found += [f"environment.image: {', '.join(images)} is not used; the trial has the lab's Python"] if images else []
    found += [
        f"environment.{name} has no effect without a container"
        for name in ("pod_spec", "registry_auth", "add_capabilities", "drop_capabilities")
        if environment.get(name)
    ]
    found += ["resources.devices has no effect without a container"] if resources["devices"] else []
    found += ["resources.shm_size has no effect without a container"] if resources.get("shm_size") else []
    found += [f"{name} has no effect: there is no such cluster" for name in ("slurm", "pbs") if config.get(name)]
    found += ["security has no effect without a container"] if config.get("security") else []
    return found
