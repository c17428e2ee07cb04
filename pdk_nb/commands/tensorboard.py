"""``pdk-nb tensorboard``: the curves of experiments in TensorBoard, from the files of their trials."""

from __future__ import annotations

import argparse
import secrets
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb.commands.common import Options, Subparsers, say, session_of
from pdk_shared.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from determined.common.experimental.determined import Determined

HOST = "127.0.0.1"
#: Seconds between two checks for new events.
RELOAD_S = 5
#: Folder of the event files below a storage root (``determined.tensorboard.base``).
PLACE = "{cluster}/tensorboard/experiment/{experiment}"


def register(commands: Subparsers, options: Options) -> None:
    """Add this command to the command line."""
    parser = commands.add_parser(
        "tensorboard",
        parents=[options.state, options.cluster, options.person],
        help="show the curves of experiments in TensorBoard",
    )
    parser.add_argument("experiment", nargs="+", type=int, help="number of an experiment (see: det experiment list)")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port on loopback (default: any free port)")
    parser.set_defaults(handler=command_tensorboard)


def command_tensorboard(args: argparse.Namespace) -> int:
    """``pdk-nb tensorboard``."""
    if not 0 <= args.port < 65536:
        raise UsageError(f"'{args.port}' isn't a TCP port.", where="--port")
    client = session_of(args).determined
    folders = {f"experiment-{number}": event_folder(client, number) for number in args.experiment}
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="pdk-tensorboard-") as scratch:
        for name, folder in folders.items():
            (Path(scratch) / name).symlink_to(folder, target_is_directory=True)
        print(serve(scratch, args.port), flush=True)
        say("Open this address; TensorBoard isn't reachable without it. To stop TensorBoard, press Ctrl-C.")
        stop.wait()
    say("Stopped.")
    return 0


def event_folder(client: Determined, number: int) -> Path:
    """The folder where the trials of an experiment write their event files.

    Args:
        client: Logged in to the master.
        number: The experiment's number.

    Raises:
        TrainingError: The experiment doesn't exist, has no event files, or this machine can't read its storage.
    """
    from determined.common.api import errors

    from pdk_nb.platforms import mlde

    where = f"experiment {number}"
    session = mlde.session(client)
    try:
        shown: dict[str, Any] = session.get(f"/api/v1/experiments/{number}").json()["experiment"]
    except errors.NotFoundException as error:
        raise TrainingError("there is no such experiment", where=where, fix="det experiment list") from error
    root = _root(shown["config"]["checkpoint_storage"])
    if root is None or not root.is_dir():
        raise TrainingError(
            "its TensorBoard files are in storage that this machine can't read",
            where=where,
            fix=f"on a cluster: det tensorboard start {number}",
        )
    cluster = session.get("/info").json()["cluster_id"]
    folder = root / PLACE.format(cluster=cluster, experiment=number)
    if not folder.is_dir():
        if shown["state"].removeprefix("STATE_") in mlde.TERMINAL:
            raise TrainingError(
                "it has no TensorBoard files: its trials reported no metrics, or the files were deleted",
                where=where,
                fix=f"see its log: det experiment logs {number}",
            )
        # TensorBoard finds later files if the folder exists.
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _root(storage: dict[str, Any]) -> Path | None:
    """The storage's folder on this machine; None for a bucket."""
    if storage["type"] == "directory":
        return Path(storage["container_path"])
    if storage["type"] == "shared_fs":
        return Path(storage["host_path"]) / (storage.get("storage_path") or "")
    return None


def serve(folder: str, port: int) -> str:
    """Start TensorBoard in this process.

    Args:
        folder: Folder of the event files.
        port: Port on loopback; 0 for any free port.

    Returns:
        Its address. TensorBoard has no users, so the address contains a random path that keeps out other users of this
        machine. The path isn't on the command line, which they can read.

    Raises:
        UsageError: The port is in use.
    """
    from tensorboard import program

    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"can't use port {port}: {error.strerror}",
                where="--port",
                fix="omit --port to use any free port",
            ) from error
        port = port or int(probe.getsockname()[1])
    board = program.TensorBoard()
    prefix = f"/{secrets.token_urlsafe(24)}"
    flags = {"logdir": folder, "host": HOST, "port": str(port), "path_prefix": prefix, "reload_interval": str(RELOAD_S)}
    # The fast loader is a separate process with an open port.
    flags["load_fast"] = "false"
    board.configure(argv=["tensorboard", *(f"--{name}={value}" for name, value in flags.items())])
    board.launch()
    return f"http://{HOST}:{port}{prefix}/"
