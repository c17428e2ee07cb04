"""What all commands share: output, common flags, and the selection of the cluster."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pdk_nb.commands import plugin
from pdk_nb.example import DEFAULT
from pdk_shared.errors import UsageError

if TYPE_CHECKING:
    from pdk_nb.container_images import RegistryAccess
    from pdk_nb.session import Session

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Subparsers = argparse._SubParsersAction


@dataclass(frozen=True)
class Options:
    """Parent parsers with flags of several commands.

    Attributes:
        state: ``--state-dir``, the folder of the embedded stack.
        cluster: ``--kubeconfig`` and ``--namespace``, the cluster to use.
        person: ``--participant`` and ``--example``, whose resources on that cluster.
    """

    state: argparse.ArgumentParser
    cluster: argparse.ArgumentParser
    person: argparse.ArgumentParser


def shared_options() -> Options:
    """The flags of several commands."""
    state = argparse.ArgumentParser(add_help=False)
    state.add_argument(
        "--state-dir",
        metavar="D",
        help="folder of the embedded stack (default: PDK_STATE_DIR, or .pdk in the checkout)",
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
        help="your name, if many people share the cluster (default: PDK_PARTICIPANT)",
    )
    person.add_argument(
        "--example",
        metavar="E",
        default="",
        help=f"folder under examples/ (default: PDK_EXAMPLE, or {DEFAULT})",
    )
    return Options(state, cluster, person)


def say(line: str) -> None:
    """Print progress to stderr; stdout is for results."""
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
    """A session for the cluster and the names on the command line."""
    from pdk_nb.session import connect

    return connect(kubeconfig_of(args), args.namespace, args.participant, example=args.example)


def registry_flags(parser: argparse.ArgumentParser) -> None:
    """``--registry-ca`` and ``--insecure-registry`` of a command that talks to the registry."""
    parser.add_argument("--registry-ca", metavar="F", help="file with the registry's own certificate authority")
    parser.add_argument(
        "--insecure-registry",
        action="store_true",
        help="the registry speaks plain HTTP, or its certificate is unknown; the nodes must allow this, too",
    )


def registry_access(args: argparse.Namespace) -> RegistryAccess:
    """How to reach the registry, from these flags.

    Raises:
        UsageError: The file doesn't exist.
    """
    from pdk_nb.container_images import RegistryAccess

    ca = Path(args.registry_ca) if args.registry_ca else None
    if ca is not None and not ca.is_file():
        raise UsageError("The file with the registry's certificates doesn't exist.", where=f"--registry-ca {ca}")
    return RegistryAccess(ca, args.insecure_registry)


def deletion_flags(parser: argparse.ArgumentParser) -> None:
    """``--dry-run`` and ``--yes`` of a command that deletes."""
    parser.add_argument("--dry-run", action="store_true", help="only show the plan")
    parser.add_argument("--yes", action="store_true", help="don't ask for confirmation")


def may_delete(args: argparse.Namespace, command: str) -> bool:
    """Whether to continue after the plan is shown: never in a dry run, otherwise the person decides.

    Raises:
        UsageError: There is no terminal to ask for confirmation.
    """
    if args.dry_run:
        return False
    if args.yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{command} deletes resources and needs your confirmation.", fix=f"pdk-nb {command} --yes")
    if input("Delete all of this? [y/N] ").strip().lower() in ("y", "yes"):
        return True
    say("Nothing was deleted.")
    return False


def read_secret(file: str | None, what: str) -> str:
    """A secret from a file or a prompt; never from the command line, which others can see.

    Args:
        file: The file; ``-`` for a prompt, or standard input where there is no terminal; None for no secret.
        what: What is asked for.

    Raises:
        UsageError: The file can't be read.
    """
    if file is None:
        return ""
    if file == "-":
        import getpass

        if not sys.stdin.isatty():
            return sys.stdin.readline().rstrip("\n")
        return getpass.getpass(f"{what}: ")
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise UsageError(f"Can't read the file: {error.strerror}.", where=file) from error
