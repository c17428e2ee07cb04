"""The doctor: ``doctor`` finds what would stop the lab on the cluster, and the command that fixes it."""

from __future__ import annotations

import argparse

from pdk_nb.commands.common import Options, Subparsers, kubeconfig_of, registry_access, registry_flags, say
from pdk_nb.names import Names


def register(commands: Subparsers, options: Options) -> None:
    """Add this command to the command line."""
    parser = commands.add_parser(
        "doctor",
        parents=[options.state, options.cluster, options.person],
        help="check the cluster: what is wrong, why it matters, and how to fix it",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="GROUP", help="only this group of findings (can be repeated)"
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help="start small pods that answer what this machine can't check, and delete them",
    )
    registry_flags(parser)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.set_defaults(handler=command_doctor)


def command_doctor(args: argparse.Namespace) -> int:
    """``pdk-nb doctor``."""
    from pdk_nb import doctor
    from pdk_shared.errors import SettingsError

    try:
        kubeconfig = kubeconfig_of(args)
    except SettingsError:
        # Reported as a finding, like every other problem.
        kubeconfig = args.kubeconfig or ""
    names = Names.chosen(args.participant, args.example)
    context = doctor.Context(kubeconfig, args.namespace, names, probe=args.probe, registries=registry_access(args))
    report = doctor.examine(context, args.only, progress=lambda name: say(f"checking {name} ..."))
    print(report.as_json() if args.json else report)
    return report.exit_code
