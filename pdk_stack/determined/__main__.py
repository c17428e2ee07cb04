"""``python -m pdk_stack.determined``: start an embedded Determined master."""

from __future__ import annotations

import argparse

from pdk_stack.common.service import parse_options, run_main, serve_until_signalled
from pdk_stack.determined.service import Config, Service


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--slots", type=int, default=0, help="slots for training; the machine's cores by default")
    parser.add_argument("--trial-python", default="", help="the Python of trials; the master's own by default")


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    options = parse_options("determined", ("master",), configure=_flags)
    service = Service(
        Config(
            state_dir=options.state_dir,
            port=options.ports["master"],
            admin_password=options.credentials["admin_password"],
            user_password=options.credentials["user_password"],
            slots=options.extra.slots,
            trial_python=options.extra.trial_python,
        )
    )
    serve_until_signalled(options, service.start(), service.stop)


if __name__ == "__main__":
    run_main(main)
