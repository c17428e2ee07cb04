"""What every command shares: how it speaks, its common flags, and which cluster it uses."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pdk_nb.commands import plugin
from pdk_shared.errors import UsageError

if TYPE_CHECKING:
    from pdk_nb.session import Session

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Subparsers = argparse._SubParsersAction


@dataclass(frozen=True)
class Options:
    """Parent parsers with flags that several commands take.

    Attributes:
        state: ``--state-dir``, the folder of the embedded stack.
        cluster: ``--kubeconfig`` and ``--namespace``, the cluster to use.
        person: ``--participant``, whose things on that cluster.
    """

    state: argparse.ArgumentParser
    cluster: argparse.ArgumentParser
    person: argparse.ArgumentParser


def shared_options() -> Options:
    """The flags that several commands take."""
    state = argparse.ArgumentParser(add_help=False)
    state.add_argument(
        "--state-dir", metavar="D", help="folder of the embedded stack (default: PDK_STATE_DIR, or per user)"
    )
    cluster = argparse.ArgumentParser(add_help=False)
    cluster.add_argument(
        "--kubeconfig",
        metavar="F",
        help="the cluster to use (default: KUBECONFIG, the running stack, ~/.kube/config)",
    )
    cluster.add_argument(
        "--namespace", metavar="N", default="default", help="namespace of the ConfigMap pdk-config (default: default)"
    )
    person = argparse.ArgumentParser(add_help=False)
    person.add_argument(
        "--participant",
        metavar="P",
        default="",
        help="whose things, where many people share the cluster (default: PDK_PARTICIPANT)",
    )
    return Options(state, cluster, person)


def say(line: str) -> None:
    """Progress for people goes to stderr; stdout is for results."""
    print(line, file=sys.stderr, flush=True)


def kubeconfig_of(args: argparse.Namespace) -> str:
    """The cluster to use: the flag, ``KUBECONFIG``, the running stack, then kubectl's default."""
    from pdk_nb.settings import kubeconfig_path

    chosen = args.kubeconfig or os.environ.get("KUBECONFIG", "")
    if not chosen:
        stack = plugin.installed()
        chosen = stack.kubeconfig(args.state_dir) if stack is not None else ""
    return kubeconfig_path(chosen) or ""


def session_of(args: argparse.Namespace) -> Session:
    """A session on the cluster and with the names that the command line says."""
    from pdk_nb.session import connect

    return connect(kubeconfig_of(args), args.namespace, args.participant)


def deletion_flags(parser: argparse.ArgumentParser) -> None:
    """``--dry-run`` and ``--yes`` of a command that deletes."""
    parser.add_argument("--dry-run", action="store_true", help="only show the plan")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def may_delete(args: argparse.Namespace, command: str) -> bool:
    """Whether to go on after the plan was shown: never in a dry run, else what the person says.

    Raises:
        UsageError: Nobody is there to ask.
    """
    if args.dry_run:
        return False
    if args.yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{command} deletes things and nobody is there to ask.", fix=f"pdk-nb {command} --yes")
    if input("Delete all of this? [y/N] ").strip().lower() in ("y", "yes"):
        return True
    say("Nothing was deleted.")
    return False
