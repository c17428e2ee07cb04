"""The command line ``pdk-nb``. Importing it stays cheap: every command imports what it needs."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

from pdk_nb import __version__
from pdk_nb.errors import PdkError, StackError, UsageError

STAND_IN = (
    "The embedded stack is a stand-in for learning, developing and CI: it speaks the platforms' protocols\n"
    "and does the real work on this machine. It is not Pachyderm, Determined or Kubernetes; production\n"
    "belongs on a cluster."
)


def say(line: str) -> None:
    """Progress for people goes to stderr; stdout is for results."""
    print(line, file=sys.stderr, flush=True)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="pdk-nb", description="PDK Lab: Pachyderm, Determined and KServe from Jupyter notebooks."
    )
    parser.add_argument("--version", action="version", version=f"pdk-nb {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

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

    up = commands.add_parser("up", parents=[state], help="start the embedded stack and wait until it is ready")
    up.add_argument("--json", action="store_true", help="print the addresses as one line of JSON")
    up.add_argument(
        "--port",
        action="append",
        default=[],
        metavar="SERVICE.LISTENER=N",
        help="e.g. kubernetes.ingress=8080",
    )
    down = commands.add_parser("down", parents=[state], help="stop the embedded stack; its state stays")
    down.add_argument("--purge", action="store_true", help="also delete its state")
    status = commands.add_parser("status", parents=[state], help="show whether the embedded stack answers")
    status.add_argument("--json", action="store_true", help="print one line of JSON")
    commands.add_parser("env", parents=[state], help='print shell exports: eval "$(pdk-nb env)"')

    run = commands.add_parser("run", parents=[state, cluster], help="execute the notebooks in order, headless")
    run.add_argument("--from", dest="first", metavar="NN", help="start at notebook NN")
    run.add_argument("--only", metavar="NN", help="run notebook NN alone")
    run.add_argument("-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE", help="set a parameter")
    run.add_argument(
        "--with-stack", action="store_true", help="use the embedded stack; start it if needed, then stop it"
    )
    run.add_argument("--notebooks", metavar="DIR", help="folder of the notebooks (default: notebooks/ of the checkout)")
    run.add_argument("--out", metavar="DIR", default="runs", help="folder of the results (default: runs)")

    reset = commands.add_parser("reset", parents=[state, cluster], help="remove what the lab made on the cluster")
    reset.add_argument("--dry-run", action="store_true", help="only show the plan")
    reset.add_argument("--yes", action="store_true", help="do not ask")

    predict = commands.add_parser("predict", parents=[state, cluster], help="classify pictures with the served model")
    predict.add_argument("images", nargs="+", metavar="IMAGE", type=Path)
    predict.add_argument("--service", default="dog-cat", help="InferenceService (default: dog-cat)")
    predict.add_argument("--json", action="store_true", help="print one line of JSON per picture")

    convert = commands.add_parser("img2json", help="turn a picture into the JSON that KServe expects")
    convert.add_argument("image", metavar="IMAGE", type=Path)
    convert.add_argument("-o", "--output", metavar="FILE", type=Path, help="write to FILE instead of stdout")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 3 the stack is not ready (``status``).
    """
    args = build_parser().parse_args(argv)
    try:
        return int(COMMANDS[args.command](args) or 0)
    except PdkError as error:
        say(f"pdk-nb {args.command}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _pairs(values: list[str], flag: str) -> dict[str, str]:
    pairs = {}
    for each in values:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise UsageError(f"'{each}' is not NAME=VALUE.", where=flag)
        pairs[name.strip()] = value
    return pairs


def command_up(args: argparse.Namespace) -> int:
    """``pdk-nb up``."""
    from pdk_nb.local import stack

    ports = {}
    for name, value in _pairs(args.port, "--port").items():
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


def _kubeconfig(args: argparse.Namespace) -> str:
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


def command_run(args: argparse.Namespace) -> int:
    """``pdk-nb run``."""
    from pdk_nb.checkout import find_checkout
    from pdk_nb.local import stack
    from pdk_nb.runner import run

    if args.with_stack and args.kubeconfig:
        raise UsageError("--with-stack and --kubeconfig exclude each other.", where="pdk-nb run")
    parameters = _pairs(args.parameters, "-p")
    notebooks = Path(args.notebooks) if args.notebooks else find_checkout() / "notebooks"
    started = False
    if args.with_stack:
        say("Starting the embedded stack ...")
        known, started = stack.up(args.state_dir, progress=say)
        kubeconfig = known["kubeconfig"]
        say(STAND_IN)
    else:
        kubeconfig = _kubeconfig(args)
        say(f"Using the cluster of {kubeconfig}")
    try:
        result = run(
            notebooks,
            Path(args.out),
            kubeconfig=kubeconfig,
            first=args.first,
            only=args.only,
            parameters=parameters,
            progress=say,
        )
    finally:
        if started:
            stack.down(args.state_dir, progress=say)
    return 0 if result.status == "passed" else 1


def command_reset(args: argparse.Namespace) -> int:
    """``pdk-nb reset``."""
    from pdk_nb.lab import connect

    lab = connect(kubeconfig=_kubeconfig(args))
    plan = lab.clean_up_plan()
    if not plan:
        say("Nothing of the lab is on the cluster.")
        return 0
    print(plan)
    if args.dry_run:
        return 0
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError("reset deletes things and nobody is there to ask.", fix="pdk-nb reset --yes")
        if input("Delete all of this? [y/N] ").strip().lower() not in ("y", "yes"):
            say("Nothing was deleted.")
            return 1
    lab.clean_up(plan)
    say("Done.")
    return 0


def command_predict(args: argparse.Namespace) -> int:
    """``pdk-nb predict``."""
    from pdk_nb import serving, settings

    known = settings.load(_kubeconfig(args))
    failed = 0
    for image in args.images:
        try:
            prediction = serving.predict(known, args.service, [image])[0]
        except PdkError as error:
            failed += 1
            say(f"{image}: {error}")
            continue
        if prediction.error:
            failed += 1
            say(f"{image}: {prediction.error}")
        elif args.json:
            print(json.dumps({"image": str(image), **prediction.as_dict()}))
        elif not prediction.scores:
            print(f"{image}: class {prediction.index}")
        else:
            print(f"{image}: {prediction.label} (class {prediction.index}, {prediction.score:.0%})")
    return 1 if failed else 0


def command_img2json(args: argparse.Namespace) -> int:
    """``pdk-nb img2json``."""
    from pdk_nb.photos import to_request

    text = json.dumps(to_request([args.image]))
    if args.output:
        args.output.write_text(text + "\n")
        say(f"Wrote {args.output} ({len(text)} bytes).")
    else:
        print(text)
    return 0


COMMANDS = {
    "up": command_up,
    "down": command_down,
    "status": command_status,
    "env": command_env,
    "run": command_run,
    "reset": command_reset,
    "predict": command_predict,
    "img2json": command_img2json,
}


if __name__ == "__main__":
    raise SystemExit(main())
