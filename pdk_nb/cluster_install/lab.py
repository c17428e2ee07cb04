"""The lab on the platforms: images, ``pdk-config`` with its secret, and the doctor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pdk_nb import configure, container_images, doctor
from pdk_nb.cluster_install.objects import Api, reference
from pdk_nb.cluster_install.steps import Step
from pdk_nb.container_images import Engine, RegistryAccess
from pdk_nb.container_images.building import git, revision_of
from pdk_nb.container_images.context import build_context, context_file
from pdk_nb.doctor.registry import CannotAsk, Image, Registry
from pdk_nb.platforms.cluster import Object
from pdk_nb.settings import CONFIG_MAP, api_client, clean
from pdk_nb.specs import STAGES

__all__ = ["SMALL", "code_of", "configure_lab", "examine", "stage_images", "trial_image", "trial_image_name"]

#: What a small node has room for; only where ``pdk-config`` says nothing else.
SMALL = {"predictor_requests": "cpu=300m,memory=1Gi", "predictor_limits": "cpu=2,memory=4Gi"}
TRIAL_FILES = ("cluster/trial/Dockerfile", "pyproject.toml", "constraints.txt", "images/requirements.py")
COMMIT_LETTERS = 40


def trial_image_name(checkout: Path, registry: str) -> str:
    """Name of the image of Determined's tasks; its tag follows from what it is made of."""
    digest = hashlib.sha256(b"\0".join(context_file(checkout, each).read_bytes() for each in TRIAL_FILES))
    return f"{registry}/pdk-lab-trial:{digest.hexdigest()[:16]}"


def trial_image(checkout: Path, engine: Engine, registry: str, access: RegistryAccess, step: Step) -> str:
    """Build and push the image of Determined's tasks unless the registry has it.

    Args:
        checkout: The lab's checkout.
        engine: Builds and pushes.
        registry: Registry with its folder.
        access: How to reach it.
        step: For progress.

    Returns:
        Its name.

    Raises:
        ImageError: It can't be built or pushed.
        UsageError: Docker is told in its daemon's configuration how to reach this registry.
    """
    name = trial_image_name(checkout, registry)
    if _has(name, access):
        step.changed = False
        return name
    with access.flags(engine.name) as flags, step.log.open("a") as log, build_context(checkout) as context:
        engine.build(
            context,
            context / TRIAL_FILES[0],
            name,
            arguments={},
            labels={"org.opencontainers.image.title": "PDK Lab: trials"},
            flags=flags,
            progress=lambda line: print(line, file=log),
        )
        engine.push(name, flags=flags, progress=lambda line: print(line, file=log))
    step.say(name)
    return name


def _has(name: str, access: RegistryAccess) -> bool:
    """Whether the registry of an image has it."""
    image = Image.parse(name)
    registry = Registry(image.registry, access)
    try:
        registry.check()
        return registry.manifest(image) is not None
    except CannotAsk:
        return False


def stage_images(checkout: Path, engine: Engine, registry: str, access: RegistryAccess, step: Step) -> None:
    """Build and push the images of both stages, unless the registry has those of this commit.

    Files that are changed but not committed don't count: a push itself changes the pipeline specs.

    Args:
        checkout: The lab's checkout.
        engine: Builds and pushes.
        registry: Registry with its folder.
        access: How to reach it.
        step: For progress.

    Raises:
        ImageError: One can't be built or pushed.
        UsageError: Docker is told in its daemon's configuration how to reach this registry.
    """
    commit = revision_of(checkout)[:COMMIT_LETTERS]
    known = [
        each
        for each in container_images.built_images(checkout)
        if each.image.startswith(f"{registry}/")
        and each.revision[:COMMIT_LETTERS] == commit
        and _has(each.image, access)
    ]
    if {each.stage for each in known} >= set(STAGES):
        step.changed = False
        return
    with access.flags(engine.name) as flags, step.log.open("a") as log:

        def tell(line: str) -> None:
            print(line, file=log)

        built = container_images.build(checkout, engine, registry, flags=flags, progress=tell)
        pushed = container_images.push(built, engine, flags=flags, progress=tell)
    for each in pushed:
        step.say(each.image)
    for path in container_images.record(pushed):
        step.say(f"wrote {path}")


def code_of(checkout: Path) -> dict[str, str]:
    """Where pipelines fetch the experiment's code: the checkout's ``origin``, if anybody may read it over HTTPS."""
    origin, branch = git(checkout, "remote", "get-url", "origin"), git(checkout, "branch", "--show-current")
    if not origin.startswith("https://") or "@" in origin:
        return {}
    return {"git_url": origin, **({"git_ref": branch} if branch else {})}


def configure_lab(
    api: Api,
    kubeconfig: str,
    *,
    chosen: Mapping[str, str],
    defaults: Mapping[str, str],
    inside: Mapping[str, str],
    det_password: str,
    step: Step,
) -> list[dict[str, str]]:
    """Write ``pdk-config``, the pipelines' secret, roles, and accounts: ``config init --apply``.

    Args:
        api: The cluster.
        kubeconfig: Its kubeconfig.
        chosen: Values that take precedence over what is there.
        defaults: Values for what is neither there nor chosen.
        inside: Values of the pipelines' secret: addresses inside the cluster.
        det_password: Password of Determined's user ``admin``; the secret's when empty.
        step: For progress.

    Returns:
        The objects that weren't there before.

    Raises:
        PdkError: A value is invalid, or the cluster refuses an object.
    """
    found = api.get("v1", "ConfigMap", "default", CONFIG_MAP)
    known = (found or {}).get("data") or {}
    wanted = {key: text for key, text in defaults.items() if not clean(known.get(key))} | dict(chosen)
    client = api_client(kubeconfig)
    plan = configure.make_plan(client, chosen=wanted, det_password=det_password)
    outcomes = [outcome for _, outcome in configure.apply(client, plan)]
    made = [reference(each) for each, outcome in zip(plan.objects(), outcomes, strict=True) if outcome == "created"]
    step.changed = any(outcome != "unchanged" for outcome in outcomes)
    if inside and _set_addresses(api, plan.settings.mldm_namespace, plan.settings.mldm_pipeline_secret, inside):
        step.changed = True
    for key in plan.missing:
        step.say(f"unknown: {key}")
    return made


def _set_addresses(api: Api, namespace: str, name: str, inside: Mapping[str, str]) -> bool:
    """Write addresses into the pipelines' secret; ``config init`` keeps them from then on."""
    where = ("v1", "Secret", namespace, name)
    before = api.get(*where)
    api.merge(*where, {"stringData": dict(inside)})
    return _version(before) != _version(api.get(*where))


def _version(thing: Object | None) -> str:
    return str(thing["metadata"].get("resourceVersion")) if thing else ""


def examine(kubeconfig: str, *, probe: bool, access: RegistryAccess, step: Step) -> doctor.Report:
    """Run the doctor.

    Args:
        kubeconfig: The cluster.
        probe: Whether it may start pods.
        access: How to reach the registry.
        step: For progress and the report's file.
    """
    context = doctor.Context(kubeconfig, "default", probe=probe, registries=access)
    report = doctor.examine(context, progress=lambda name: None)
    step.log.write_text(f"{report}\n")
    return report
