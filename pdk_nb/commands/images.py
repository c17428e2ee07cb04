"""Images of both stages and of the console: ``images build`` and ``images push``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from pdk_nb.arguments import assignments
from pdk_nb.commands.common import Options, Subparsers, kubeconfig_of, registry_access, registry_flags, say
from pdk_shared.errors import PdkError, UsageError


def register(commands: Subparsers, options: Options) -> None:
    """Add these commands to the command line."""
    images = commands.add_parser("images", help="build and push the images of the stages, and of the console")
    verbs = images.add_subparsers(dest="verb", required=True, metavar="VERB")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("stages", nargs="*", metavar="IMAGE", help="train, deploy (default: both), console")
    common.add_argument("--engine", default="", help="docker, podman, or buildah (default: the first that works)")
    common.add_argument(
        "--engine-flag",
        action="append",
        default=[],
        metavar="FLAG",
        help="additional flag for the container tool, e.g. --engine-flag=--network=host",
    )
    registry_flags(common)
    common.add_argument("--json", action="store_true", help="print one line of JSON for each image")
    build = verbs.add_parser(
        "build", parents=[options.state, options.cluster, common], help="build them for linux/amd64 under a new tag"
    )
    build.add_argument("--registry", default="", help="registry with its folder (default: registry_uri of pdk-config)")
    build.add_argument("--base-image", default="", help="base image (default: python:3.11-slim)")
    build.add_argument(
        "--build-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="build argument: TORCH_INDEX=...",
    )
    build.set_defaults(handler=command_build)
    push = verbs.add_parser(
        "push", parents=[common], help="push the last build, and write the digests to the pipeline specs"
    )
    push.set_defaults(handler=command_push)


def _stages(args: argparse.Namespace) -> list[str]:
    from pdk_nb.container_images import IMAGES
    from pdk_nb.specs import STAGES

    unknown = [each for each in args.stages if each not in IMAGES]
    if unknown:
        raise UsageError(
            f"There is no image '{unknown[0]}'.", fix=f"Use {', '.join(IMAGES)}, or none for {' and '.join(STAGES)}."
        )
    return args.stages or list(STAGES)


def _folder() -> Path:
    """The checkout, or the person's folder, that keeps the list of builds and the specs.

    Raises:
        UsageError: There is neither: the package's own files aren't the person's to change.
    """
    from pdk_shared.checkout import find_checkout, is_own_folder

    found = find_checkout()
    if not is_own_folder(found):
        raise UsageError(
            "The names of pushed images go into the pipeline specs, so you need a folder of your own.",
            fix="pdk-nb lab --only-copy --dir pdk-lab, then run this in that folder",
        )
    return found


def _registry(args: argparse.Namespace) -> str:
    """The registry to build for: from the flag, or else from the cluster."""
    if args.registry:
        return str(args.registry)
    from pdk_nb import settings

    fix = "pdk-nb images build --registry registry.example.com/pdk"
    try:
        known = settings.load(kubeconfig_of(args), args.namespace).registry_uri
    except PdkError as error:
        raise UsageError(f"No registry is set, and the cluster gives none: {error.what}", fix=fix) from error
    if not known:
        raise UsageError("The cluster's pdk-config has no registry_uri.", fix=fix)
    return known


def command_build(args: argparse.Namespace) -> int:
    """``pdk-nb images build``."""
    from pdk_nb import container_images

    stages, arguments = _stages(args), assignments(args.build_arg, "--build-arg")
    engine = container_images.find_engine(args.engine)
    with registry_access(args).flags(engine.name) as access:
        built = container_images.build(
            _folder(),
            engine,
            _registry(args),
            stages=stages,
            base_image=args.base_image,
            arguments=arguments,
            flags=[*access, *args.engine_flag],
            progress=say,
        )
    for each in built:
        print(json.dumps(asdict(each)) if args.json else each.image)
    say(f"Next: pdk-nb images push {' '.join(args.stages)}".rstrip())
    return 0


def command_push(args: argparse.Namespace) -> int:
    """``pdk-nb images push``."""
    from pdk_nb import container_images
    from pdk_nb.specs import STAGES

    stages = _stages(args)
    known = {each.stage: each for each in container_images.built_images(_folder())}
    missing = [stage for stage in stages if stage not in known]
    if missing:
        raise UsageError(f"There is no build of {', '.join(missing)} yet.", fix=f"pdk-nb images build {missing[0]}")
    engine = container_images.find_engine(args.engine)
    with registry_access(args).flags(engine.name) as access:
        flags = [*access, *args.engine_flag]
        pushed = container_images.push([known[stage] for stage in stages], engine, flags=flags, progress=say)
    for each in pushed:
        print(json.dumps(asdict(each)) if args.json else each.image)
    if own := [each for each in pushed if each.stage in STAGES]:
        for path in container_images.record(own):
            say(f"Wrote {path}")
        say("Next: pdk-nb specs diff, then notebook 01 updates the pipelines (or: pachctl update pipeline -f FILE)")
    for each in pushed:
        if each not in own:
            say(f"Next: sed 's#image: .*#image: {each.image}#' docs/cluster/console.yaml | kubectl apply -f -")
    return 0
