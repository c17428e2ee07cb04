"""What every command shares: how it speaks, its common flags, and which cluster it uses."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pdk_nb.errors import StackError, UsageError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Subparsers = argparse._SubParsersAction

STAND_IN = (
    "The embedded stack is a stand-in for learning, developing and CI: it speaks the platforms' protocols\n"
    "and does the real work on this machine. It is not Pachyderm, Determined or Kubernetes; production\n"
    "belongs on a cluster."
)


@dataclass(frozen=True)
class Options:
    """Parent parsers with flags that several commands take.

    Attributes:
        state: ``--state-dir``, the folder of the embedded stack.
        cluster: ``--kubeconfig``, the cluster to use.
    """

    state: argparse.ArgumentParser
    cluster: argparse.ArgumentParser


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
    return Options(state, cluster)


def say(line: str) -> None:
    """Progress for people goes to stderr; stdout is for results."""
    print(line, file=sys.stderr, flush=True)


def pairs_of(values: list[str], flag: str) -> dict[str, str]:
    """Split ``NAME=VALUE`` arguments.

    Raises:
        UsageError: One of them is something else.
    """
    pairs = {}
    for each in values:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise UsageError(f"'{each}' is not NAME=VALUE.", where=flag)
        pairs[name.strip()] = value
    return pairs


def kubeconfig_of(args: argparse.Namespace) -> str:
    """The cluster to use: the flag, ``KUBECONFIG``, the running stack, then kubectl's default."""
    from pdk_nb.settings import kubeconfig_path

    chosen = args.kubeconfig or os.environ.get("KUBECONFIG", "")
    if not chosen:
        from pdk_nb.local import stack
        from pdk_nb.local.paths import state_paths

        try:
            chosen = stack.addresses(state_paths(args.state_dir))["kubeconfig"]
        except StackError:
            chosen = ""
    return kubeconfig_path(chosen) or ""
