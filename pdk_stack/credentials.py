"""A stack's random credentials, created once and stored in files that only the user can read."""

from __future__ import annotations

import json
import secrets

from pdk_stack.common.service import read_credentials, write_private
from pdk_stack.paths import StatePaths
from pdk_stack.services import SERVICES


def _password() -> str:
    # Determined's clients warn about passwords without an uppercase letter, a lowercase letter, and a digit.
    return f"Pd1{secrets.token_urlsafe(18)}"


def ensure_credentials(paths: StatePaths) -> dict[str, str]:
    """Load the stack's credentials and create missing ones.

    Returns:
        All secrets by name. Also rewrites each service's own credentials file.
    """
    known = read_credentials(paths.credentials) if paths.credentials.exists() else {}
    for entry in SERVICES.values():
        for name in entry.secrets:
            if name not in known:
                known[name] = _password() if name.endswith("password") else secrets.token_hex(24)
    write_private(paths.credentials, json.dumps(known, indent=1))
    for service, entry in SERVICES.items():
        write_private(paths.service_credentials(service), json.dumps({name: known[name] for name in entry.secrets}))
    return known
