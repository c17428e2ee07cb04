"""Build images: their names and labels, and the list of builds."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pdk_nb import RELEASE, __version__
from pdk_nb.container_images.context import build_context
from pdk_nb.container_images.engines import Engine, Progress
from pdk_nb.specs import STAGES
from pdk_shared.errors import ImageError, UsageError

# As container tools parse names: a first part without a dot or a port isn't a host, but a folder on Docker Hub.
REGISTRY = re.compile(r"(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+)(:\d+)?(/[a-z0-9._-]+)*|[a-z0-9-]+:\d+(/[a-z0-9._-]+)*")
LABELS = "org.opencontainers.image"
#: All images: those of the pipelines' stages, and the console's, which is built only when it is named.
IMAGES = (*STAGES, "console")
# The last build on this machine; below the checkout, and ignored by git.
BUILT_FILE = Path("build") / "images.json"


@dataclass(frozen=True)
class Built:
    """An image on this machine.

    Attributes:
        stage: ``train``, ``deploy``, or ``console``.
        image: Its full name with tag.
        revision: Commit of the lab's code that it holds.
        size: Bytes, unpacked; 0 when unknown.
    """

    stage: str
    image: str
    revision: str
    size: int


def git(checkout: Path, *arguments: str) -> str:
    """What git says about a checkout; empty when it fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def revision_of(checkout: Path) -> str:
    """The commit of the checkout, with ``-dirty`` when files are changed; ``unknown`` without history."""
    revision = git(checkout, "rev-parse", "HEAD")
    if not revision:
        return "unknown"
    return f"{revision}-dirty" if git(checkout, "status", "--porcelain") else revision


def unique_tag(revision: str, now: float | None = None) -> str:
    """A tag that no build has used: nodes cache images by tag, and would keep running the old one.

    Args:
        revision: As :func:`revision_of` gives it.
        now: Seconds since the epoch; the clock's when None.
    """
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    commit, _, state = revision.partition("-")
    return "-".join(filter(None, (RELEASE, moment, commit[:8], state)))


def build(
    checkout: Path,
    engine: Engine,
    registry: str,
    *,
    stages: Sequence[str] = STAGES,
    base_image: str = "",
    arguments: Mapping[str, str] | None = None,
    flags: Sequence[str] = (),
    progress: Progress,
) -> list[Built]:
    """Build the stages' images for a registry.

    Args:
        checkout: The lab's checkout, or a folder that ``pdk-nb lab`` made.
        engine: Container tool.
        registry: Registry with its folder, e.g. ``registry_uri`` of pdk-config.
        stages: Which images.
        base_image: Base image; the Dockerfile's when empty.
        arguments: Additional build arguments.
        flags: Additional flags of the tool.
        progress: Called with one line for each step.

    Raises:
        UsageError: The registry's name is invalid.
        ImageError: A build failed.
    """
    registry = registry.rstrip("/")
    if not REGISTRY.fullmatch(registry):
        raise UsageError(
            f"'{registry}' isn't the address of a registry.",
            where="--registry, or registry_uri of pdk-config",
            fix="Give host and folder without a scheme, in lowercase letters: registry.example.com/pdk, docker.io/ada. "
            "The embedded stack has no registry: it runs the images' code directly.",
        )
    revision = revision_of(checkout)
    tag = unique_tag(revision)
    if revision.endswith("-dirty"):
        progress("The checkout has uncommitted changes; the tag says so.")
    given = {"VERSION": __version__, "REVISION": revision, **(arguments or {})}
    source = git(checkout, "remote", "get-url", "origin")
    if source.startswith("https://") and "@" not in source:
        given["SOURCE"] = source
    if base_image:
        given["BASE_IMAGE"] = base_image
    labels = {f"{LABELS}.{key.lower()}": given[key] for key in ("VERSION", "REVISION", "SOURCE") if key in given}
    results = []
    for stage in stages:
        image = f"{registry}/pdk-lab-{stage}:{tag}"
        progress(f"Building {image} with {engine.name} ...")
        started = time.monotonic()
        with build_context(checkout) as context:
            dockerfile = context / "images" / stage / "Dockerfile"
            engine.build(context, dockerfile, image, arguments=given, labels=labels, flags=flags, progress=progress)
        results.append(Built(stage, image, revision, engine.size(image)))
        progress(f"Built in {time.monotonic() - started:.0f} s: {results[-1].size / 1e6:.0f} MB")
        _record(checkout, results[-1])
    return results


def _record(checkout: Path, built: Built) -> None:
    target = checkout / BUILT_FILE
    known = {each.stage: asdict(each) for each in built_images(checkout)}
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({**known, built.stage: asdict(built)}, indent=2) + "\n")


def built_images(checkout: Path) -> list[Built]:
    """The last builds on this machine, by stage; empty before the first build.

    Raises:
        ImageError: The list can't be read.
    """
    target = checkout / BUILT_FILE
    if not target.is_file():
        return []
    try:
        return [Built(**each) for each in json.loads(target.read_text()).values()]
    except (ValueError, TypeError, AttributeError) as error:
        raise ImageError(
            f"Can't read the list of built images: {error}", where=str(target), fix="pdk-nb images build"
        ) from error
