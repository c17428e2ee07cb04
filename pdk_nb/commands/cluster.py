"""A real PDK in one command: ``cluster up``, ``install``, ``status``, and ``down``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pdk_nb.arguments import assignments
from pdk_nb.commands.common import (
    Options,
    Subparsers,
    deletion_flags,
    may_delete,
    read_secret,
    registry_access,
    registry_flags,
    say,
)
from pdk_shared.errors import UsageError

if TYPE_CHECKING:
    from pdk_nb.cluster_install.helm import Helm
    from pdk_nb.cluster_install.installing import Installer, Request
    from pdk_nb.cluster_install.local import Local
    from pdk_nb.cluster_install.preflight import Check
    from pdk_nb.cluster_install.steps import Steps
    from pdk_nb.cluster_install.tools import Tool
    from pdk_nb.cluster_install.versions import Versions
    from pdk_nb.container_images import Engine, RegistryAccess

DEFAULT_NAME = "pdk"
# Written out: reading them from the package would load it for every command.
PARTS = ("cert-manager", "ingress", "kserve", "pachyderm", "determined", "images", "doctor")


def register(commands: Subparsers, options: Options) -> None:
    """Add these commands to the command line."""
    parser = commands.add_parser("cluster", help="a real PDK: Pachyderm, Determined, and KServe, from their own charts")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--serving", choices=("raw", "serverless"), default="", help="KServe's mode (default: raw)")
    common.add_argument(
        "--without", action="append", default=[], choices=PARTS, metavar="PART", help=f"leave out: {', '.join(PARTS)}"
    )
    common.add_argument("--charts", metavar="DIR", help="folder with the charts (default: their repositories)")
    common.add_argument(
        "--values",
        action="append",
        default=[],
        metavar="CHART=FILE",
        help="further values of a chart, which take precedence over ours",
    )
    common.add_argument(
        "--set", dest="chosen", action="append", default=[], metavar="KEY=VALUE", help="a value of pdk-config"
    )
    common.add_argument("--engine", default="", help="tool that builds the images: docker, podman, or buildah")
    common.add_argument("--trial-image", default="", metavar="IMAGE", help="image of Determined's tasks")
    common.add_argument("--force", action="store_true", help="continue even if the preflight check fails")
    name = argparse.ArgumentParser(add_help=False)
    name.add_argument("--name", default=DEFAULT_NAME, help=f"name of the cluster in Docker (default: {DEFAULT_NAME})")

    up = verbs.add_parser("up", parents=[common, name], help="make a cluster in Docker, and install everything on it")
    up.add_argument("--with", dest="maker", choices=("kind", "k3d"), default="", help="default: the first one found")
    up.add_argument(
        "--port",
        action="append",
        default=[],
        metavar="NAME=PORT",
        help="loopback port of pachyderm, determined, ingress, or registry",
    )
    up.set_defaults(handler=command_up)
    install = verbs.add_parser("install", parents=[common], help="install everything on an existing cluster")
    install.add_argument("--kubeconfig", metavar="F", required=True, help="the cluster")
    install.add_argument("--registry", default="", metavar="HOST/FOLDER", help="registry that the nodes pull from")
    registry_flags(install)
    install.add_argument("--det-password-file", metavar="F", help="password of an existing Determined")
    install.set_defaults(handler=command_install)
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--kubeconfig", metavar="F", default="", help="an existing cluster (default: the one in Docker)")
    status = verbs.add_parser("status", parents=[name, where], help="show what is installed, and what answers")
    status.add_argument("--json", action="store_true", help="print one line of JSON")
    status.set_defaults(handler=command_status)
    down = verbs.add_parser("down", parents=[name, where], help="remove what this command created, and nothing else")
    down.add_argument("--data", action="store_true", help="remove Pachyderm's volumes, too")
    deletion_flags(down)
    down.set_defaults(handler=command_down)


def _values(given: list[str]) -> dict[str, list[Path]]:
    from pdk_nb.cluster_install.platforms import VALUES_FOR

    found: dict[str, list[Path]] = {}
    for each in given:
        ((chart, file),) = assignments([each], "--values").items()
        if chart not in VALUES_FOR:
            raise UsageError(
                f"There is no chart '{chart}'.", where=f"--values {each}", fix=f"Use one of: {', '.join(VALUES_FOR)}"
            )
        if not Path(file).is_file():
            raise UsageError("The file with values doesn't exist.", where=f"--values {each}")
        found.setdefault(chart, []).append(Path(file).resolve())
    return found


def _show(checks: Iterable[Check]) -> list[Check]:
    found = list(checks)
    for each in found:
        say(str(each))
    return found


def _engine(args: argparse.Namespace, wanted: bool) -> Engine | None:
    """What builds the images, looked for before anything is changed."""
    from pdk_nb import container_images

    return container_images.find_engine(args.engine) if wanted and "images" not in args.without else None


def _request(
    args: argparse.Namespace,
    kubeconfig: str,
    registry: str,
    access: RegistryAccess | None = None,
    local: Local | None = None,
) -> Request:
    from pdk_nb.cluster_install.installing import Request
    from pdk_nb.container_images import RegistryAccess

    return Request(
        kubeconfig=kubeconfig,
        serving=args.serving,
        without=frozenset(args.without),
        charts=Path(args.charts).expanduser().resolve() if args.charts else None,
        values=_values(args.values),
        registry=registry,
        access=access or RegistryAccess(),
        trial_image=args.trial_image,
        chosen=assignments(args.chosen, "--set"),
        det_password=read_secret(getattr(args, "det_password_file", None), "Password of Determined's user"),
        local=local,
    )


def _pinned() -> tuple[Path, Versions]:
    """The checkout, and the versions that it pins."""
    from pdk_nb.cluster_install.versions import read_versions
    from pdk_shared.checkout import find_checkout

    checkout = find_checkout()
    return checkout, read_versions(checkout)


def _need(name: str, versions: Versions) -> Tool:
    """A program without which there is no way on.

    Raises:
        InstallError: It is missing or too old.
    """
    from pdk_nb.cluster_install import preflight

    tool, check = preflight.program(name, versions)
    preflight.refuse([check])
    assert tool is not None, "a missing program is refused"
    return tool


def command_up(args: argparse.Namespace) -> int:
    """``pdk-nb cluster up``."""
    from pdk_nb.cluster_install import local, loopback, preflight
    from pdk_nb.cluster_install.installing import Installer
    from pdk_nb.cluster_install.objects import Api
    from pdk_nb.cluster_install.steps import Steps
    from pdk_nb.settings import api_client

    checkout, versions = _pinned()
    known = local.read(args.name)
    if known is not None and (args.port or args.maker not in ("", known.maker)):
        raise UsageError(
            f"The cluster {args.name} exists, made with {known.maker} and ports of its own.",
            where=str(known.folder),
            fix=f"pdk-nb cluster down --name {args.name}, or another --name",
        )
    _request(args, "", "")  # wrong flags end it before anything is looked at
    maker = _choose_maker(args, versions, known)
    cluster = known or local.Local(args.name, maker.name, {**local.PORTS, **_ports(args.port)})
    docker, helm = _need("docker", versions), _need("helm", versions)
    checks = [preflight.program(each, versions)[1] for each in ("docker", maker.name, "helm")]
    checks += [preflight.program("kubectl", versions, required=False)[1], preflight.folder(local.state_folder())]
    checks += preflight.docker(docker)
    there = local.exists(maker.name, maker, args.name)
    checks += [] if there else preflight.ports(cluster.ports)
    preflight.refuse(_show(checks), force=args.force)
    if known is None and there:
        raise UsageError(
            f"{maker.name} has a cluster {args.name} that this command didn't make.",
            where="kind get clusters" if maker.name == "kind" else "k3d cluster list",
            fix="pdk-nb cluster up --name ANOTHER, or: pdk-nb cluster install --kubeconfig F",
        )
    engine = _engine(args, wanted=True)
    parts = [part for part in PARTS if part not in args.without]
    trial = engine is not None and "determined" in parts and not args.trial_image
    # Cluster, registry, and configuration beside the parts.
    steps = Steps(len(parts) + 3 + trial, cluster.folder / "logs", say)
    with steps.step(f"Cluster {args.name} with {maker.name}") as step:
        if there:
            step.changed = cluster.start(docker, maker, step.log)
        else:
            cluster.create(maker, versions, loopback.node_ports(versions, args.serving or "raw"), step.log)
        cluster.write_kubeconfig(maker)
    with steps.step(f"Registry {cluster.registry}") as step:
        step.changed = cluster.create_registry(docker, versions, step.log)
    request = _request(args, str(cluster.kubeconfig), cluster.registry, local=cluster)
    installer = Installer(request, Api(api_client(request.kubeconfig)), helm, versions, checkout)
    preflight.refuse(installer.checks(), force=args.force)
    return _finish(installer, steps, engine, request.kubeconfig)


def _choose_maker(args: argparse.Namespace, versions: Versions, known: Local | None) -> Tool:
    """kind or k3d: the one that made the cluster, the named one, or the first that is there.

    Raises:
        InstallError: None of them is there.
    """
    from pdk_nb.cluster_install import preflight
    from pdk_nb.cluster_install.local import MAKERS

    wanted = [known.maker] if known else [args.maker] if args.maker else list(MAKERS)
    looked = [preflight.program(name, versions) for name in wanted]
    for tool, check in looked:
        if tool is not None and check.state == "ok":
            return tool
    preflight.refuse([check for _, check in looked])
    raise AssertionError("refused above")


def _ports(given: list[str]) -> dict[str, int]:
    """Ports of the loopback address.

    Raises:
        UsageError: A name or a port isn't one.
    """
    from pdk_nb.cluster_install.local import PORTS

    found = {}
    for name, text in assignments(given, "--port").items():
        if name not in PORTS or not text.isdecimal() or not 0 < int(text) < 65536:
            raise UsageError(
                f"'{name}={text}' isn't a port of this cluster.",
                where="--port",
                fix=f"--port pachyderm=31650; names: {', '.join(PORTS)}",
            )
        found[name] = int(text)
    return found


def command_install(args: argparse.Namespace) -> int:
    """``pdk-nb cluster install``."""
    from pdk_nb.cluster_install import preflight
    from pdk_nb.cluster_install.installing import Installer
    from pdk_nb.cluster_install.local import state_folder
    from pdk_nb.cluster_install.objects import Api
    from pdk_nb.cluster_install.steps import Steps
    from pdk_nb.settings import api_client, kubeconfig_path

    checkout, versions = _pinned()
    kubeconfig = kubeconfig_path(args.kubeconfig) or ""
    request = _request(args, kubeconfig, args.registry, registry_access(args))
    helm, logs = _need("helm", versions), state_folder() / "logs"
    installer = Installer(request, Api(api_client(kubeconfig)), helm, versions, checkout)
    checks = [preflight.program("helm", versions)[1], preflight.folder(logs), *installer.checks()]
    preflight.refuse(_show(checks), force=args.force)
    engine = _engine(args, wanted=bool(args.registry))
    if engine is not None:
        # Docker refuses these flags: before anything is installed.
        with request.access.flags(engine.name):
            pass
    parts = [part for part in PARTS if part not in args.without and (part != "images" or engine is not None)]
    trial = engine is not None and "determined" in parts and not args.trial_image
    return _finish(installer, Steps(len(parts) + 1 + trial, logs, say), engine, kubeconfig)


def _finish(installer: Installer, steps: Steps, engine: Engine | None, kubeconfig: str) -> int:
    """Run the steps, and say what came of it."""
    report = installer.install(steps, engine)
    if report is not None:
        print(report)
    say(f"Changed: {', '.join(steps.changed)}." if steps.changed else "Nothing was changed.")
    say(f"Next: export KUBECONFIG={kubeconfig}; pdk-nb run")
    return report.exit_code if report is not None else 0


def _cluster_of(args: argparse.Namespace) -> tuple[str, Local | None]:
    """The kubeconfig to use, and the cluster in Docker that it belongs to.

    Raises:
        UsageError: No cluster is named, and this command made none.
    """
    from pdk_nb.cluster_install import local
    from pdk_nb.settings import kubeconfig_path

    if args.kubeconfig:
        return kubeconfig_path(args.kubeconfig) or "", None
    known = local.read(args.name)
    if known is None:
        raise UsageError(
            f"This command made no cluster {args.name} in Docker.",
            where=str(local.state_folder()),
            fix="pdk-nb cluster up, or name an existing cluster: --kubeconfig F",
        )
    return str(known.kubeconfig), known


def _helm(kubeconfig: str) -> Helm:
    from pdk_nb.cluster_install.helm import Helm

    return Helm(_need("helm", _pinned()[1]), kubeconfig)


def command_status(args: argparse.Namespace) -> int:
    """``pdk-nb cluster status``: exit code 3 when something isn't ready."""
    from pdk_nb.cluster_install import record
    from pdk_nb.cluster_install.objects import Api
    from pdk_nb.cluster_install.overview import overview
    from pdk_nb.settings import api_client

    kubeconfig, known = _cluster_of(args)
    helm, api = _helm(kubeconfig), Api(api_client(kubeconfig))
    found = record.load(api)
    rows = overview(api, helm, found, kubeconfig)
    ready = all(each.complete for each in rows)
    if args.json:
        print(json.dumps({"ready": ready, "serving": found.serving, "platforms": [asdict(each) for each in rows]}))
    else:
        kind = f"{known.maker} cluster {known.name}, registry {known.registry}" if known else "existing cluster"
        print(f"{api.server} ({kind}), KServe's mode: {found.serving or 'unknown'}")
        print("\n".join(map(str, rows)))
    return 0 if ready else 3


def command_down(args: argparse.Namespace) -> int:
    """``pdk-nb cluster down``."""
    kubeconfig, known = _cluster_of(args)
    return _delete_local(args, known) if known is not None else _uninstall(args, kubeconfig)


def _delete_local(args: argparse.Namespace, known: Local) -> int:
    versions = _pinned()[1]
    docker, maker = _need("docker", versions), _need(known.maker, versions)
    say(f"remove  {known.maker} cluster {known.name} with everything on it")
    say(f"remove  container {known.registry_container} with its images")
    if may_delete(args, "cluster down"):
        logs = known.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        known.delete(docker, maker, logs / "down.log")
        say(f"Removed. The logs stay in {logs}.")
    return 0


def _uninstall(args: argparse.Namespace, kubeconfig: str) -> int:
    from pdk_nb.cluster_install import local, record, removing
    from pdk_nb.cluster_install.objects import Api
    from pdk_nb.settings import api_client

    helm, api = _helm(kubeconfig), Api(api_client(kubeconfig))
    found = record.load(api)
    if not found.platforms:
        say("This command installed nothing on this cluster.")
        return 0
    removal = removing.plan(api, found, data=args.data)
    say(str(removal))
    if may_delete(args, f"cluster down --kubeconfig {args.kubeconfig}"):
        logs = local.state_folder() / "logs"
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        removing.remove(api, helm, removal, log=logs / "down.log", say=say)
        say("The platforms' files on the nodes are kept: /var/lib/pdk-lab")
    return 0
