"""Push images to a registry, and record their digests in the pipeline specs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pdk_nb import specs
from pdk_nb.container_images.building import Built
from pdk_nb.container_images.engines import Engine, Progress
from pdk_nb.container_images.registries import ecr_registry


@dataclass(frozen=True)
class Pushed:
    """An image in a registry.

    Attributes:
        stage: ``train`` or ``deploy``.
        image: Its name with the digest, for the pipelines.
        tag: Its tag.
        revision: Commit of the lab's code that it holds.
    """

    stage: str
    image: str
    tag: str
    revision: str


def push(images: Sequence[Built], engine: Engine, *, flags: Sequence[str] = (), progress: Progress) -> list[Pushed]:
    """Push images; on Amazon's registry, log in and create the repositories first.

    Args:
        images: Results of :func:`pdk_nb.container_images.build`.
        engine: The container tool that built them.
        flags: Additional flags of the tool.
        progress: Called with one line for each step.

    Raises:
        ImageError: The registry refuses.
    """
    logged_in: set[str] = set()
    results = []
    for built in images:
        repository, _, tag = built.image.rpartition(":")
        registry = ecr_registry(repository)
        if registry is not None:
            if registry.host not in logged_in:
                engine.login(registry.host, *registry.credentials())
                logged_in.add(registry.host)
            if registry.ensure_repository(repository):
                progress(f"Created the repository {repository}.")
        progress(f"Pushing {built.image} ...")
        digest = engine.push(built.image, flags=flags, progress=progress)
        results.append(Pushed(built.stage, f"{repository}@{digest}", tag, built.revision))
        progress(f"Pushed as {results[-1].image}")
    return results


def record(pushed: Sequence[Pushed], example: str = "") -> list[Path]:
    """Record pushed images next to an example's specs, and render the specs with them.

    Args:
        pushed: Results of :func:`push`.
        example: Folder name under ``examples``.

    Returns:
        The files that were written.
    """
    target = specs.pipelines_folder(example) / specs.IMAGES_FILE
    known = {}
    # A file that cannot be read is written anew.
    with contextlib.suppress(OSError, ValueError):
        known = dict(json.loads(target.read_text()))
    for each in pushed:
        known[each.stage] = {"image": each.image, "tag": each.tag, "revision": each.revision}
    target.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
    return [target, *specs.write(example)]
