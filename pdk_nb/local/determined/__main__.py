"""Start the embedded Determined master."""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path
from typing import Any

from cheroot import wsgi

from pdk_nb.errors import StackError
from pdk_nb.local.determined.api.application import Application
from pdk_nb.local.determined.master import Master
from pdk_nb.local.service import LOOPBACK, ServiceOptions, free_port, parse_options, run_main, serve_until_signalled

# Every trial and every reader of a log holds a thread for as long as it waits.
THREADS = 96
BIND_SECONDS = 3.0


class Gateway(wsgi.Gateway_10):
    """Also tells the application which connection a request came by, to notice a reader that left."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
        """The WSGI environment."""
        environ: dict[str, Any] = super().get_environ()
        environ["pdk.connection"] = self.req.conn.socket
        return environ


def bind(app: object, port: int) -> wsgi.Server:
    """Listen on loopback.

    Raises:
        StackError: The port is taken.
    """
    # Never 0: the server would not let a later start use the same port while old connections are closing.
    server = wsgi.Server((LOOPBACK, port or free_port()), app, numthreads=THREADS, request_queue_size=256)
    server.gateway = Gateway
    server.nodelay = True
    server.keep_alive_conn_limit = 512
    server.timeout = 120
    server.max_request_body_size = 0
    deadline = time.monotonic() + BIND_SECONDS
    while True:
        try:
            server.prepare()
            return server
        except OSError as error:
            # Clients of a master that was killed may hold its port for a moment.
            if port and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise StackError(
                f"The master's port {port} cannot be used: {error}",
                where=f"{LOOPBACK}:{port}",
                fix="Leave --master-port out to use a free port, or stop the other program.",
            ) from error


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
    server = bind(Application(master), options.ports["master"])
    port = int(server.bind_addr[1])
    # Experiments first: what the master tells its clients must be true from the first reply on. Trials that start
    # now are queued by the listening socket.
    master.start(port)
    threading.Thread(target=server.serve, name="master", daemon=True).start()

    def stop() -> None:
        master.experiments.stop()
        server.stop()
        master.store.close()

    serve_until_signalled(options, {"determined": f"http://{LOOPBACK}:{port}"}, stop)


def main() -> None:
    """Entry point."""
    serve(parse_options("determined", ("master",), configure=configure))


if __name__ == "__main__":
    run_main(main)
