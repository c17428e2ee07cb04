"""``python -m pdk_stack.pachyderm``: start an embedded Pachyderm."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
from pathlib import Path

from pdk_stack.common.service import parse_options, run_main, serve_until_signalled
from pdk_stack.pachyderm.service import Config, Daemon, read_environment

M_ARENA_MAX = -8  # <malloc.h>
ARENAS = 2


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", type=Path, help="cluster whose Secrets pipelines use")
    parser.add_argument("--namespace", default="default", help="namespace of those Secrets")
    parser.add_argument("--images-file", type=Path, help="JSON file with the local replacement for each image")
    parser.add_argument("--worker-env-file", type=Path, help="JSON file with environment variables for every worker")


def keep_heap_small() -> None:
    """Limit the number of glibc malloc arenas; a no-op with other allocators.

    By default, every thread has its own arena, which keeps the largest message that it ever held: with many threads,
    large uploads make memory grow without bound.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    keep_heap_small()
    options = parse_options("pachyderm", ("grpc", "s3"), configure=_flags)
    daemon = Daemon(
        Config(
            state_dir=options.state_dir,
            grpc_port=options.ports["grpc"],
            s3_port=options.ports["s3"],
            root_token=options.credentials.get("root_token", ""),
            kubeconfig=options.extra.kubeconfig,
            namespace=options.extra.namespace,
            images=options.extra.images_file,
            worker_environment=read_environment(options.extra.worker_env_file),
        )
    )
    addresses = daemon.start()
    serve_until_signalled(options, addresses, daemon.stop)


if __name__ == "__main__":
    run_main(main)
