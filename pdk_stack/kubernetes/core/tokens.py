"""Tokens of service accounts (``kubectl create token``), and who holds one.

Real clusters sign them with RS256; only this API reads these, so that a shared key does.
Source: ``pkg/serviceaccount/claims.go`` and ``pkg/registry/core/serviceaccount/storage/token.go``.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import jwt

from pdk_stack.common.service import write_private
from pdk_stack.kubernetes.core.rbac import ACCOUNT_PREFIX, User
from pdk_stack.kubernetes.errors import FieldError, StatusError, invalid, invalid_value
from pdk_stack.kubernetes.store.columns import Object, timestamp
from pdk_stack.kubernetes.store.kinds import SERVICE_ACCOUNTS
from pdk_stack.kubernetes.store.objects import ObjectStore

ISSUER = "https://kubernetes.default.svc.cluster.local"
ALGORITHM = "HS256"
DEFAULT_SECONDS, LEAST_SECONDS, MOST_SECONDS = 3600, 600, 1 << 32
KIND = ("authentication.k8s.io", "TokenRequest")


def _key(path: Path) -> str:
    """Return the key in a file, which is created when absent."""
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return path.read_text().strip()


class Tokens:
    """Issues and checks tokens.

    Args:
        store: The service accounts.
        path: File of the key; created when absent.
    """

    def __init__(self, store: ObjectStore, path: Path) -> None:
        self._store = store
        self._secret = _key(path)

    def issue(self, namespace: str, name: str, request: Object, manager: str) -> Object:
        """Answer a TokenRequest.

        Args:
            namespace: Namespace of the service account.
            name: Its name.
            request: The request.
            manager: The name of the calling program.

        Raises:
            StatusError: 404 for an unknown account, 422 for a duration that is out of range.
        """
        account = self._store.get(SERVICE_ACCOUNTS, namespace, name)
        spec = request.get("spec") or {}
        seconds = spec.get("expirationSeconds", DEFAULT_SECONDS)
        wrong: list[FieldError] = []
        place = "spec.expirationSeconds"
        if seconds < LEAST_SECONDS:
            wrong.append(invalid_value(place, seconds, "may not specify a duration less than 10 minutes"))
        if seconds > MOST_SECONDS:
            wrong.append(invalid_value(place, seconds, "may not specify a duration larger than 2^32 seconds"))
        if wrong:
            raise invalid(*KIND, "", wrong)
        now = int(time.time())
        audiences = spec.get("audiences") or [ISSUER]
        claims = {
            "iss": ISSUER,
            "sub": f"{ACCOUNT_PREFIX}{namespace}:{name}",
            "aud": audiences,
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
            },
        }
        entry = {"manager": manager, "operation": "Update", "subresource": "token", "time": timestamp()}
        meta = {"name": name, "namespace": namespace, "creationTimestamp": timestamp(), "managedFields": [entry]}
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": meta,
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": None},
            "status": {
                "token": jwt.encode(claims, self._secret, ALGORITHM),
                "expirationTimestamp": timestamp(now + seconds),
            },
        }

    def holder(self, token: str) -> User | None:
        """Return whom a token names, by its signature and times alone; None for any other token."""
        try:
            claims: dict[str, Any] = jwt.decode(token, self._secret, [ALGORITHM], audience=ISSUER, issuer=ISSUER)
            uid = claims["kubernetes.io"]["serviceaccount"]["uid"]
        except (jwt.PyJWTError, KeyError, TypeError):
            return None
        return User.named(str(claims["sub"]), uid=str(uid))

    def check(self, user: User) -> None:
        """Refuse the holder of a token whose account is gone.

        Raises:
            StatusError: 401 when the account no longer exists, or is another one of the same name.
        """
        if not user.uid:
            return
        namespace, _, name = user.name.removeprefix(ACCOUNT_PREFIX).partition(":")
        account = self._store.find(SERVICE_ACCOUNTS, namespace, name)
        if account is None or account["metadata"]["uid"] != user.uid:
            raise StatusError(401, "Unauthorized", "Unauthorized")
