"""Certificates and kubeconfigs; kubectl sends a bearer token only over TLS."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import trustme
import yaml

from pdk_shared.errors import StackError
from pdk_stack.common.service import LOOPBACK, write_private


def ensure_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Create the stack's own CA and the API's certificate if absent; the CA's key is not stored.

    Returns:
        Paths of the CA certificate, the server certificate, and the server key (PEM).
    """
    paths = folder / "ca.crt", folder / "server.crt", folder / "server.key"
    if not all(path.exists() for path in paths):
        authority = trustme.CA(organization_name="pdk-lab embedded", organization_unit_name="CA")
        server = authority.issue_cert(LOOPBACK, "localhost", common_name="pdk-lab embedded API")
        parts = authority.cert_pem, server.cert_chain_pems[0], server.private_key_pem
        for path, part in zip(paths, parts, strict=True):
            write_private(path, part.bytes().decode())
    _check(*paths)
    return paths


def _check(authority: Path, certificate: Path, key: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    loads = (
        (authority, lambda: context.load_verify_locations(authority)),
        (certificate, lambda: ssl.PEM_cert_to_DER_cert(certificate.read_text())),
        (key, lambda: context.load_cert_chain(certificate, key)),
    )
    for path, load in loads:
        try:
            load()
        except (OSError, ValueError) as error:
            raise StackError(
                f"The certificate or its key cannot be read: {error}",
                where=str(path),
                fix=f"rm -r {path.parent}, then: pdk-nb up  (makes new ones; clients need the new kubeconfig)",
            ) from error


def write_kubeconfig(path: Path, server: str, ca: Path, user: str, token: str) -> None:
    """Write a kubeconfig with the embedded CA, readable only by the user."""
    authority = base64.b64encode(ca.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "pdk-lab", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "pdk-lab", "context": {"cluster": "pdk-lab", "user": user, "namespace": "default"}}],
        "current-context": "pdk-lab",
    }
    write_private(path, yaml.safe_dump(config, sort_keys=False))
