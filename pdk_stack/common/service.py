"""What every embedded service shares: command line, credentials, log, readiness, and shutdown.

The supervisor or a user starts each service as ``python -m pdk_stack.<service>``. The service

* reads its secrets from a JSON file that only its owner can read, never from its command line;
* binds only to loopback addresses;
* writes a *ready file* (JSON with its addresses) when it is ready, and removes it when it stops;
* stops on SIGTERM or SIGINT, and ends the processes that it started.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdk_shared.errors import PdkError, StackError
from pdk_stack.common import logs

LOOPBACK = "127.0.0.1"
# Linux gives 32768 and up to outgoing connections, macOS 49152 and up.
OWN_PORTS = (15_000, 32_000)
PORT_TRIES = 1_000
_given: deque[int] = deque(maxlen=500)


@dataclass(frozen=True)
class ServiceOptions:
    """Options that every embedded service gets at startup.

    Attributes:
        state_dir: The service's own folder; holds everything that must survive a restart.
        ports: Port by listener name; 0 picks a free one.
        credentials: Secrets by name, read from the credentials file.
        ready_file: Where the service writes its addresses when it is ready.
        extra: The service's own parsed arguments.
    """

    state_dir: Path
    ports: Mapping[str, int]
    credentials: Mapping[str, str]
    ready_file: Path | None
    extra: argparse.Namespace


def parse_options(
    name: str,
    listeners: Sequence[str],
    argv: Sequence[str] | None = None,
    configure: Callable[[argparse.ArgumentParser], None] | None = None,
) -> ServiceOptions:
    """Parse a service's command line.

    Args:
        name: The service's name, for the help text.
        listeners: Names of the listeners; each gets a ``--<listener>-port`` flag (default 0).
        argv: Arguments; None means the process's own.
        configure: Adds the service's own flags to the parser.

    Raises:
        StackError: The credentials file is missing, unreadable, or open to other users.
    """
    parser = argparse.ArgumentParser(prog=f"python -m pdk_stack.{name}")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--credentials-file", type=Path, required=True)
    parser.add_argument("--ready-file", type=Path)
    parser.add_argument("--log-level", default="INFO")
    for listener in listeners:
        parser.add_argument(f"--{listener}-port", type=int, default=0)
    if configure:
        configure(parser)
    args = parser.parse_args(argv)
    logs.set_up(args.log_level)
    args.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return ServiceOptions(
        state_dir=args.state_dir.resolve(),
        ports={each: getattr(args, f"{each.replace('-', '_')}_port") for each in listeners},
        credentials=read_credentials(args.credentials_file),
        ready_file=args.ready_file,
        extra=args,
    )


def read_credentials(path: Path) -> dict[str, str]:
    """Read a credentials file: a flat JSON object that only its owner can read.

    Raises:
        StackError: The file is missing, not JSON, or readable by others.
    """
    try:
        mode = path.stat().st_mode
        content = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise StackError(
            f"The credentials file cannot be read: {error}",
            where=str(path),
            fix="Put it back from a backup, or delete all state and start over: pdk-nb down --purge",
        ) from error
    if mode & 0o077:
        raise StackError(
            "The credentials file can be read by other users.",
            where=str(path),
            fix=f"chmod 600 {path}",
        )
    return {str(key): str(value) for key, value in content.items()}


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, replacing it atomically."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
    os.replace(temporary, path)


def free_port() -> int:
    """Return a TCP port on loopback that is free, and that no other call of this process gets soon.

    It lies below the ports that systems give to outgoing connections: a process that starts slowly would find one of
    those taken.

    Raises:
        OSError: No port was found.
    """
    for _ in range(PORT_TRIES):
        port = random.randrange(*OWN_PORTS)
        if port in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            _given.append(port)
            return port
    raise OSError("no TCP port is free on loopback")


def serve_until_signalled(options: ServiceOptions, addresses: Mapping[str, Any], stop: Callable[[], None]) -> None:
    """Write the ready file, wait for SIGTERM or SIGINT, and stop the service.

    Args:
        options: The service's options.
        addresses: The content of the ready file.
        stop: Stops the service; called once, from the main thread.
    """
    ended = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: ended.set())
    if options.ready_file:
        write_private(options.ready_file, json.dumps({"pid": os.getpid(), **addresses}))
    try:
        ended.wait()
    finally:
        if options.ready_file:
            options.ready_file.unlink(missing_ok=True)
        stop()


def run_main(main: Callable[[], None]) -> None:
    """Run a service's main function; print a :class:`PdkError` or an error of the system without a traceback."""
    try:
        main()
    except PdkError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    except OSError as error:  # a full disk, a read-only or damaged file
        print(StackError(f"The service cannot start: {error}"), file=sys.stderr)
        raise SystemExit(StackError.exit_code) from error
