"""Voilà, configured for one person on this machine: loopback, a token, no requests to other servers."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pdk_nb.loopback import LOOPBACK, bound
from pdk_nb.run.kernels import quiet_profile
from pdk_shared.errors import PdkError

FOLDER = Path(__file__).parent
# Pictures arrive in chunks of 2 MiB (panel/upload.js).
MAX_MESSAGE_BYTES = 16 << 20
# Whatever a template or a notebook requests, the browser loads it only from this server.
CONTENT_SECURITY_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' ws: data: blob:; frame-ancestors 'self'; form-action 'self'"
)


def choose_port(port: int) -> int:
    """A port that is free now: Voilà binds it itself.

    Args:
        port: The requested port; 0 for any.

    Raises:
        UsageError: The port is in use or invalid.
    """
    with bound(port) as probe:
        return int(probe.getsockname()[1])


def settings(port: int, token: str, theme: str, open_browser: bool) -> Any:
    """Voilà's configuration.

    Args:
        port: The port.
        token: Token that a visitor needs.
        theme: ``light`` or ``dark``.
        open_browser: Whether to open the page.
    """
    from jupyter_server import DEFAULT_STATIC_FILES_PATH
    from traitlets.config import Config

    config = Config()
    config.Voila.ip = LOOPBACK
    config.Voila.port = port
    config.Voila.port_retries = 0
    config.Voila.token = token
    config.PasswordIdentityProvider.allow_password_change = False
    config.Voila.open_browser = open_browser
    config.Voila.log_level = logging.ERROR
    config.Voila.notebook_path = str(FOLDER / "predict.ipynb")
    # Kernels of closed pages have nothing to tidy up.
    config.KernelManager.shutdown_wait_time = 2.0
    # Ignore other configuration files.
    config.Voila.config_file_paths = []
    config.Voila.tornado_settings = {
        "websocket_max_message_size": MAX_MESSAGE_BYTES,
        # Jupyter's default exceeds its interval, and Tornado warns at every visit.
        "ws_ping_timeout": 30_000,
        # Jupyter's own pages (logged out, not found) ask for their icon and style here; without it they fail.
        "static_path": DEFAULT_STATIC_FILES_PATH,
        "headers": {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "X-Content-Type-Options": "nosniff"},
        # Refuse other hostnames than this machine's, so that no other site can pose as this page.
        "allow_remote_access": False,
        "local_hostnames": ["localhost", LOOPBACK],
    }
    config.VoilaConfiguration.template = "pdk"
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.theme = theme
    config.VoilaConfiguration.file_allowlist = []
    return config


def serve(
    environment: Mapping[str, str],
    *,
    port: int = 0,
    theme: str = "light",
    open_browser: bool = True,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve the panel until Ctrl-C or SIGTERM.

    Args:
        environment: Variables for the page's kernel: cluster, namespace, and participant.
        port: The port; 0 for any.
        theme: ``light`` or ``dark``.
        open_browser: Whether to open the page.
        announce: Called with the page's address, including the token, when the page is ready.

    Raises:
        UsageError: The port can't be used.
        PdkError: Voilà isn't installed.
    """
    try:
        from tornado.ioloop import IOLoop
        from voila.app import Voila
    except ImportError as error:
        raise PdkError(f"The app needs Voilà: {error}.", fix="pip install -c constraints.txt -e '.[lab]'") from error

    port, token = choose_port(port), secrets.token_urlsafe(32)
    templates = [str(FOLDER / "jupyter"), os.environ.get("JUPYTER_PATH", "")]
    os.environ["JUPYTER_PATH"] = os.pathsep.join(each for each in templates if each)
    os.environ.update({name: value for name, value in environment.items() if value})
    profile = quiet_profile()
    os.environ["IPYTHONDIR"] = profile.name
    # Runs when the loop starts, after the port listens.
    IOLoop.current().add_callback(announce, f"http://{LOOPBACK}:{port}/?token={token}")
    try:
        Voila.launch_instance(argv=[], config=settings(port, token, theme, open_browser))
    finally:
        profile.cleanup()
