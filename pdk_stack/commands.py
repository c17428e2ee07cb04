"""The commands ``up``, ``down``, ``status``, and ``env`` for the embedded stack.

``pdk-nb`` finds :class:`EmbeddedStack` through the entry point group ``pdk_nb.stack`` of this distribution; the lab
imports nothing of the stack.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pdk_shared.errors import StackError, UsageError
from pdk_stack import stack
from pdk_stack.paths import state_paths

STAND_IN = (
    "The embedded stack is a stand-in for learning, developing and CI: it speaks the platforms' protocols\n"
    "and does the real work on this machine. It is not Pachyderm, Determined or Kubernetes; production\n"
    "belongs on a cluster."
)


class EmbeddedStack:
    """The plugin that ``pdk-nb`` loads; implements ``pdk_nb.commands.plugin.Stack``."""

    stand_in = STAND_IN

    def register(self, commands: Any, state: argparse.ArgumentParser) -> None:
        """Add these commands to the command line.

        Args:
            commands: The subparsers of ``pdk-nb``.
            state: Parent parser with ``--state-dir``.
        """
        up = commands.add_parser("up", parents=[state], help="start the embedded stack and wait until it is ready")
        up.add_argument("--json", action="store_true", help="print the addresses as one line of JSON")
        up.add_argument(
            "--port",
            action="append",
            default=[],
            metavar="SERVICE.LISTENER=N",
            help="e.g. kubernetes.ingress=8080",
        )
        up.add_argument(
            "--image",
            action="append",
            default=[],
            metavar="NAME=FOLDER",
            help="a folder that replaces a container image of your own pipelines; kept for the next start",
        )
        up.set_defaults(handler=command_up)
        down = commands.add_parser("down", parents=[state], help="stop the embedded stack; its state stays")
        down.add_argument("--purge", action="store_true", help="also delete its state")
        down.set_defaults(handler=command_down)
        status = commands.add_parser("status", parents=[state], help="show whether the embedded stack answers")
        status.add_argument("--json", action="store_true", help="print one line of JSON")
        status.set_defaults(handler=command_status)
        env = commands.add_parser("env", parents=[state], help='print shell exports: eval "$(pdk-nb env)"')
        env.set_defaults(handler=command_env)

    def kubeconfig(self, state_dir: str | None) -> str:
        """Return the running stack's kubeconfig; empty when no stack runs on this state folder."""
        try:
            return stack.addresses(state_paths(state_dir))["kubeconfig"]
        except StackError:
            return ""

    def up(self, state_dir: str | None, progress: Callable[[str], None], files: Path | None = None) -> tuple[str, bool]:
        """Start the stack unless it is running.

        Args:
            state_dir: State folder.
            progress: Called with one line per step.
            files: The folder with the lab's files; None searches from the working directory.

        Returns:
            The stack's kubeconfig, and whether this call started it.
        """
        known, started = stack.up(state_dir, checkout=files, progress=progress)
        return known["kubeconfig"], started

    def environment(self, state_dir: str | None) -> dict[str, str]:
        """Return the variables that connect the platforms' own clients to the running stack."""
        return stack.environment(state_dir)

    def down(self, state_dir: str | None, progress: Callable[[str], None]) -> None:
        """Stop the stack and keep its state."""
        stack.down(state_dir, progress=progress)


def say(line: str) -> None:
    """Print progress to stderr; stdout is for results."""
    print(line, file=sys.stderr, flush=True)


def wanted_ports(values: list[str]) -> dict[str, int]:
    """Parse repeated ``--port`` flags to ports by ``<service>.<listener>``.

    Raises:
        UsageError: A value is not ``NAME=PORT``.
    """
    ports = {}
    for each in values:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise UsageError(f"'{each}' is not NAME=VALUE.", where="--port")
        if not value.isdigit() or not 0 < int(value) < 65536:
            raise UsageError(f"'{value}' is not a TCP port.", where=f"--port {name}={value}")
        ports[name.strip()] = int(value)
    return ports


def wanted_images(values: list[str]) -> dict[str, Path]:
    """Parse repeated ``--image`` flags to folders by the image's name.

    Raises:
        UsageError: A value is not ``NAME=FOLDER``, or the name has a registry or a tag.
    """
    images = {}
    for each in values:
        name, separator, folder = (part.strip() for part in each.partition("="))
        if not separator or not name or not folder:
            raise UsageError(f"'{each}' is not NAME=FOLDER.", where="--image")
        if set(name) & set("/:@"):
            raise UsageError(
                f"'{name}' names a registry or a tag.",
                where="--image",
                fix="Only the last part counts: word-count for registry.example.com/team/word-count:1.0",
            )
        images[name] = Path(folder).expanduser()
    return images


def command_up(args: argparse.Namespace) -> int:
    """Run ``pdk-nb up``."""
    ports = wanted_ports(args.port)
    say("Starting the embedded stack ...")
    images = wanted_images(args.image)
    known, started = stack.up(args.state_dir, ports=ports, images=images, progress=say)
    if args.json:
        print(json.dumps(known))
        return 0
    say(f"The embedded stack {'is ready' if started else 'was ready already'}.")
    for key, value in known.items():
        print(f"{key:<12} {value}")
    say(STAND_IN)
    where = f" --state-dir {shlex.quote(args.state_dir)}" if args.state_dir else ""
    say(f'Next: eval "$(pdk-nb env{where})", then kubectl, det, pachctl and the notebooks use it.')
    return 0


def command_down(args: argparse.Namespace) -> int:
    """Run ``pdk-nb down``."""
    stopped = stack.down(args.state_dir, purge=args.purge, progress=say)
    say("Stopped." if stopped else "The embedded stack was not running.")
    return 0


def command_status(args: argparse.Namespace) -> int:
    """Run ``pdk-nb status``."""
    ready, rows = stack.status(args.state_dir)
    root = state_paths(args.state_dir).root
    if args.json:
        print(json.dumps({"ready": ready, "state_dir": str(root), "services": [vars(row) for row in rows]}))
        return 0 if ready else 3
    print(f"{'SERVICE':<12} {'STATE':<9} {'PID':>7}  ADDRESS")
    for row in rows:
        print(f"{row.name:<12} {row.state:<9} {row.pid or '':>7}  {row.address or row.reason}")
    print(f"state: {root}")
    stopped = all(row.state == "stopped" for row in rows)
    say(STAND_IN if ready else "Start it with: pdk-nb up" if stopped else f"Logs: {root / 'logs'}")
    return 0 if ready else 3


def command_env(args: argparse.Namespace) -> int:
    """Run ``pdk-nb env``."""
    for name, value in stack.environment(args.state_dir).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0
