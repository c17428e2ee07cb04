"""Start the embedded Determined master."""

from __future__ import annotations

import argparse
from pathlib import Path

from pdk_stack.common.service import LOOPBACK, ServiceOptions, parse_options, run_main, serve_until_signalled
from pdk_stack.determined.api.application import Application
from pdk_stack.determined.api.listener import bind
from pdk_stack.determined.core.master import Master


def configure(parser: argparse.ArgumentParser) -> None:
    """The master's own flags."""
    parser.add_argument("--slots", type=int, default=0, help="slots for training; the machine's cores by default")
    parser.add_argument("--trial-python", default="", help="the Python of trials; the master's own by default")


def serve(options: ServiceOptions) -> None:
    """Run the master until it is told to stop."""
    master = Master(Path(options.state_dir), options.extra.slots, options.extra.trial_python)
    master.ensure_accounts(options.credentials["admin_password"], options.credentials["user_password"])
    # Trials of a master that was killed keep asking for it, and may hold its port.
    master.end_left_overs()
    listener = bind(Application(master), options.ports["master"])
    port = listener.port
    # Experiments first: what the master tells its clients must be true from the first reply on. Trials that start
    # now are queued by the listening socket.
    master.start(port)
    listener.start()

    def stop() -> None:
        master.experiments.stop()
        listener.stop()
        master.store.close()

    serve_until_signalled(options, {"determined": f"http://{LOOPBACK}:{port}"}, stop)


def main() -> None:
    """Entry point."""
    serve(parse_options("determined", ("master",), configure=configure))


if __name__ == "__main__":
    run_main(main)
