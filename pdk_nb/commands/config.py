"""The cluster's configuration: ``config init`` fills in ``pdk-config`` and related objects; ``config env`` reads it."""

from __future__ import annotations

import argparse
import shlex

from pdk_nb.arguments import assignments
from pdk_nb.commands.common import Options, Subparsers, kubeconfig_of, read_secret, say
from pdk_nb.counting import counted
from pdk_shared.errors import UsageError


def register(commands: Subparsers, options: Options) -> None:
    """Add these commands to the command line."""
    parser = commands.add_parser("config", help="the lab's configuration on a cluster")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    init = actions.add_parser(
        "init",
        parents=[options.state, options.cluster],
        help="detect the cluster's values, and print or apply pdk-config, secret, roles, and accounts",
    )
    init.add_argument("--apply", action="store_true", help="apply it to the cluster (default: only print it)")
    init.add_argument("--set", dest="values", action="append", default=[], metavar="KEY=VALUE", help="set a value")
    init.add_argument("--overwrite", action="store_true", help="replace existing values with detected values")
    init.add_argument("--models-namespace", metavar="N", default="", help="namespace of services (default: models)")
    init.add_argument("--det-user", metavar="U", default="", help="Determined user of the pipelines (default: admin)")
    init.add_argument("--det-password-file", metavar="F", help="file with that user's password; '-' asks for it")
    init.add_argument("--pac-token-file", metavar="F", help="file with a Pachyderm token; '-' asks for it")
    init.add_argument(
        "--minio-access-key-file", metavar="F", help="file with MinIO's access key (default: Pachyderm's)"
    )
    init.add_argument("--minio-secret-key-file", metavar="F", help="file with MinIO's secret key; '-' asks for it")
    init.set_defaults(handler=command_init)
    env = actions.add_parser(
        "env",
        parents=[options.state, options.cluster],
        help='print the setup guide\'s variables as shell exports: eval "$(pdk-nb config env)"; no secrets',
    )
    env.set_defaults(handler=command_env)


def command_env(args: argparse.Namespace) -> int:
    """``pdk-nb config env``."""
    from pdk_nb.settings import load, without_credentials

    for name, value in load(kubeconfig_of(args) or None, args.namespace).environment().items():
        if value:
            print(f"export {name}={shlex.quote(without_credentials(value))}")
    return 0


def command_init(args: argparse.Namespace) -> int:
    """``pdk-nb config init``."""
    from pdk_nb import configure
    from pdk_nb.settings import api_client

    if bool(args.minio_access_key_file) != bool(args.minio_secret_key_file):
        raise UsageError("MinIO needs both keys.", fix=configure.MINIO_FLAGS)
    client = api_client(kubeconfig_of(args) or None)
    plan = configure.make_plan(
        client,
        namespace=args.namespace,
        models_namespace=args.models_namespace,
        chosen=assignments(args.values, "--set"),
        overwrite=args.overwrite,
        det_user=args.det_user,
        det_password=read_secret(args.det_password_file, "Password of Determined's user"),
        pac_token=read_secret(args.pac_token_file, "Pachyderm token"),
        minio_access_key=read_secret(args.minio_access_key_file, "MinIO's access key"),
        minio_secret_key=read_secret(args.minio_secret_key_file, "MinIO's secret key"),
    )
    missing = plan.missing
    if not args.apply:
        print(plan.text(), end="")
        say("Nothing was changed. To apply it to the cluster, use --apply.")
    else:
        if missing and set(missing) - {"det_password"}:
            raise UsageError(
                f"{counted(len(missing), 'value')} unknown: {', '.join(missing)}.",
                where="pdk-config",
                fix=f"pdk-nb config init --apply --set {missing[0]}=...",
            )
        for name, outcome in configure.apply(client, plan):
            print(f"{name}: {outcome}")
    for key in missing:
        say(f"to do: {key} is unknown; --set {key}=..." if key != "det_password" else NO_PASSWORD)
    if plan.lacks_minio_keys:
        say(f"to do: MinIO's keys are unknown; --apply {configure.MINIO_FLAGS}")
    say("Next: pdk-nb doctor")
    return 0


NO_PASSWORD = "to do: det_password is unknown; --apply --det-password-file FILE"  # noqa: S105  a sentence
