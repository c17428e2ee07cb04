"""The doctor: ``doctor`` says what on the cluster would stop the lab, and the command that mends it."""

from __future__ import annotations

import argparse

from pdk_nb.commands.common import Options, Subparsers, kubeconfig_of, say
from pdk_nb.names import Names


def register(commands: Subparsers, options: Options) -> None:
    """Add this command to the command line."""
    parser = commands.add_parser(
        "doctor",
        parents=[options.state, options.cluster, options.person],
        help="look at the cluster: what is wrong, why it matters, what mends it",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="GROUP", help="only this group of findings (may be repeated)"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.set_defaults(handler=command_doctor)


def command_doctor(args: argparse.Namespace) -> int:
    """``pdk-nb doctor``."""
    from pdk_nb import doctor
    from pdk_shared.errors import SettingsError

    try:
        kubeconfig = kubeconfig_of(args)
    except SettingsError:
        # Told as a finding, like everything else.
        kubeconfig = args.kubeconfig or ""
    context = doctor.Context(kubeconfig, args.namespace, Names.chosen(args.participant))
    report = doctor.examine(context, args.only, progress=lambda name: say(f"looking at {name} ..."))
    print(report.as_json() if args.json else report)
    return report.exit_code
