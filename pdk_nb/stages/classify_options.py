"""The classify stage's command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from pdk_nb.platforms.serving.predictions import Endpoint
from pdk_shared.errors import UsageError

__all__ = ["ClassifyOptions", "parse_arguments"]


@dataclass(frozen=True)
class ClassifyOptions:
    """The stage's command line, checked.

    Attributes:
        targets: Where the model answers, in the order to try.
        timeout: Seconds to wait for an answer.
        set_aside: Whether this is the error handler: it decides whether a failed datum may be set aside.
    """

    targets: tuple[Endpoint, ...]
    timeout: float
    set_aside: bool


def build_parser() -> argparse.ArgumentParser:
    """The stage's flags."""
    parser = argparse.ArgumentParser(
        prog="classify.py", description="Ask an InferenceService about the pictures of a datum."
    )
    add = parser.add_argument
    add(
        "--target",
        action="append",
        default=[],
        metavar="ADDRESS,HOST",
        help="address of an ingress (host:port), and the service's name in the Host header; the first that can be "
        "reached is asked",
    )
    add("--model", default="", help="the registry model, as in the prediction URL")
    add("--protocol", choices=("v1", "v2"), default="v1", help="prediction protocol (default: v1)")
    add("--timeout", type=float, default=60.0, help="seconds to wait for an answer (default: %(default).0f)")
    add(
        "--set-aside",
        action="store_true",
        help="for err_cmd: succeed only if a picture of the datum can't be read, so that nothing else is set aside",
    )
    return parser


def parse_arguments(argv: Sequence[str] | None = None) -> ClassifyOptions:
    """Read and check the command line.

    Raises:
        UsageError: The arguments do not fit together.
    """
    given = build_parser().parse_args(argv)
    if not given.set_aside and not (given.target and given.model):
        raise UsageError("The stage needs --target and --model, or --set-aside.", where="classify.py")
    if given.timeout <= 0:
        raise UsageError("--timeout must be more than 0 seconds.", where="classify.py")
    targets = []
    for each in given.target:
        address, _, host = each.partition(",")
        if not address or not host:
            raise UsageError(f"'{each}' isn't ADDRESS,HOST.", where="--target")
        targets.append(Endpoint(host.partition(".")[0], address, host, given.model, given.protocol))
    return ClassifyOptions(tuple(targets), given.timeout, given.set_aside)
