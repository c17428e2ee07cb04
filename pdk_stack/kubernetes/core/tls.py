"""Certificates and kubeconfigs: kubectl sends a bearer token over TLS only."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pdk_stack.common.service import LOOPBACK, write_private

VALIDITY = datetime.timedelta(days=3650)


def ensure_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Make the stack's own CA and the API's certificate when they are absent.

    Returns:
        Paths of the CA certificate, the server certificate and the server key (PEM).
    """
    ca, certificate, key = folder / "ca.crt", folder / "server.crt", folder / "server.key"
    if not all(path.exists() for path in (ca, certificate, key)):
        _make_certificates(ca, certificate, key)
    return ca, certificate, key


def _make_certificates(ca_path: Path, certificate_path: Path, key_path: Path) -> None:
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pdk-lab embedded CA")])
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pdk-lab embedded API")])

    def builder(subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + VALIDITY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        )

    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    ca = (
        builder(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**{**usage, "key_cert_sign": True, "crl_sign": True}), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
    server = (
        builder(server_name, server_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.KeyUsage(**{**usage, "digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    write_private(ca_path, ca.public_bytes(pem).decode())
    write_private(certificate_path, server.public_bytes(pem).decode())
    private = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    write_private(key_path, private)


def write_kubeconfig(path: Path, server: str, ca: Path, user: str, token: str) -> None:
    """Write a kubeconfig with the CA inside; only the user can read it."""
    import base64

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "pdk-lab",
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(ca.read_bytes()).decode(),
                },
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "pdk-lab", "context": {"cluster": "pdk-lab", "user": user, "namespace": "default"}}],
        "current-context": "pdk-lab",
    }
    write_private(path, yaml.safe_dump(config, sort_keys=False))
