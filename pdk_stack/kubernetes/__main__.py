"""``python -m pdk_stack.kubernetes``: start an embedded Kubernetes with KServe."""

from __future__ import annotations

from pdk_stack.common.service import parse_options, run_main, serve_until_signalled
from pdk_stack.kubernetes.service import Config, Daemon


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    options = parse_options("kubernetes", ("api", "ingress"))
    daemon = Daemon(
        Config(
            state_dir=options.state_dir,
            api_port=options.ports["api"],
            ingress_port=options.ports["ingress"],
            admin_token=options.credentials["admin_token"],
            worker_token=options.credentials.get("worker_token", ""),
        )
    )
    addresses = daemon.start()
    serve_until_signalled(options, addresses, daemon.stop)


if __name__ == "__main__":
    run_main(main)
