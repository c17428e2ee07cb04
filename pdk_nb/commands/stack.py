"""The embedded stack: ``up``, ``down``, ``status`` and ``env``. The only module that reaches it for a person."""

from __future__ import annotations

import argparse
import json
import shlex

from pdk_nb.commands.common import STAND_IN, Options, Subparsers, say
from pdk_nb.errors import UsageError
from pdk_nb.pairs import pairs_of


def register(commands: Subparsers, options: Options) -> None:
    """Add these commands to the command line."""
    up = commands.add_parser("up", parents=[options.state], help="start the embedded stack and wait until it is ready")
    up.add_argument("--json", action="store_true", help="print the addresses as one line of JSON")
    up.add_argument(
        "--port",
        action="append",
        default=[],
        metavar="SERVICE.LISTENER=N",
        help="e.g. kubernetes.ingress=8080",
    )
    up.set_defaults(handler=command_up)
    down = commands.add_parser("down", parents=[options.state], help="stop the embedded stack; its state stays")
    down.add_argument("--purge", action="store_true", help="also delete its state")
    down.set_defaults(handler=command_down)
    status = commands.add_parser("status", parents=[options.state], help="show whether the embedded stack answers")
    status.add_argument("--json", action="store_true", help="print one line of JSON")
    status.set_defaults(handler=command_status)
    env = commands.add_parser("env", parents=[options.state], help='print shell exports: eval "$(pdk-nb env)"')
    env.set_defaults(handler=command_env)


def command_up(args: argparse.Namespace) -> int:
    """``pdk-nb up``."""
    from pdk_nb.local import stack

    ports = {}
    for name, value in pairs_of(args.port, "--port").items():
        if not value.isdigit() or not 0 < int(value) < 65536:
            raise UsageError(f"'{value}' is not a TCP port.", where=f"--port {name}={value}")
        ports[name] = int(value)
    say("Starting the embedded stack ...")
    known, started = stack.up(args.state_dir, ports=ports, progress=say)
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
    """``pdk-nb down``."""
    from pdk_nb.local import stack

    stopped = stack.down(args.state_dir, purge=args.purge, progress=say)
    say("Stopped." if stopped else "The embedded stack was not running.")
    return 0


def command_status(args: argparse.Namespace) -> int:
    """``pdk-nb status``."""
    from pdk_nb.local import stack
    from pdk_nb.local.paths import state_paths

    ready, rows = stack.status(args.state_dir)
    root = state_paths(args.state_dir).root
    if args.json:
        print(json.dumps({"ready": ready, "state_dir": str(root), "services": [vars(row) for row in rows]}))
        return 0 if ready else 3
    print(f"{'SERVICE':<12} {'STATE':<9} {'PID':>7}  ADDRESS")
    for row in rows:
        print(f"{row.name:<12} {row.state:<9} {row.pid or '':>7}  {row.address}")
    print(f"state: {root}")
    say(STAND_IN if ready else "Start it with: pdk-nb up")
    return 0 if ready else 3


def command_env(args: argparse.Namespace) -> int:
    """``pdk-nb env``."""
    from pdk_nb.local import stack

    for name, value in stack.environment(args.state_dir).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0
