"""Users, passwords, and sessions.

The client sends ``sha512("GubPEmmotfiK9TMD6Zdw" + password)`` in hexadecimal, or an empty string for a blank
password (``determined.common.api.salt_and_hash``). The database stores a salted scrypt hash of that value.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Any

from pdk_stack.determined.errors import already_exists, invalid, unauthenticated
from pdk_stack.determined.store.documents import Copies, Document, Store
from pdk_stack.determined.timestamps import now

__all__ = ["Accounts", "client_hash"]

CLIENT_SALT = "GubPEmmotfiK9TMD6Zdw"
#: Sessions expire after seven days, as the master's do.
SESSION_SECONDS = 7 * 24 * 3600.0
_SCRYPT: dict[str, Any] = {"n": 2**13, "r": 8, "p": 1}


def client_hash(password: str) -> str:
    """Hash a password as the client does."""
    return hashlib.sha512((CLIENT_SALT + password).encode()).hexdigest() if password else ""


def _protect(sent: str) -> str:
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${hashlib.scrypt(sent.encode(), salt=salt, **_SCRYPT).hex()}"


def _matches(stored: str, sent: str) -> bool:
    salt, _, digest = stored.partition("$")
    found = hashlib.scrypt(sent.encode(), salt=bytes.fromhex(salt), **_SCRYPT).hex()
    return hmac.compare_digest(found, digest)


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Accounts:
    """Users and their sessions.

    Args:
        store: The master's database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        # Every request authenticates in the server's event loop, so known tokens skip the database.
        self._sessions: Copies[str, tuple[int, float]] = Copies(store, "session", self._read_session)
        self._users: Copies[int, Document] = Copies(store, "user", lambda key: store.get("user", key))
        self._allocations: dict[str, tuple[str, int]] = {}

    def ensure(self, username: str, password: str, *, admin: bool) -> Document:
        """Create a user, or update the existing user's password."""
        sent = client_hash(password)
        found = self.by_name(username)
        if found is None:
            return self.create(username, sent, admin=admin)
        if not _matches(found["password"], sent):
            return self._store.update("user", found["id"], password=_protect(sent))
        return found

    def create(
        self, username: str, sent_password: str, *, admin: bool = False, active: bool = True, display_name: str = ""
    ) -> Document:
        """Create a user.

        Raises:
            Refusal: The name is taken or empty.
        """
        if not username:
            raise invalid("username is required")
        with self._store.write():
            if self.by_name(username):
                raise already_exists(f"user already exists: {username}")
            key = self._store.next_id("user")
            user = {
                "id": key,
                "username": username,
                "admin": admin,
                "active": active,
                "displayName": display_name,
                "password": _protect(sent_password),
                "modifiedAt": now(),
                "lastAuthAt": None,
                "remote": False,
            }
            self._store.put("user", key, user)
        return user

    def get(self, key: int) -> Document:
        """Return a user by id.

        Raises:
            Refusal: The user doesn't exist.
        """
        return self._store.need("user", key)

    def by_name(self, username: str) -> Document | None:
        """Return a user by name; names are case-insensitive."""
        wanted = username.lower()
        return next((user for user in self._store.list("user") if user["username"].lower() == wanted), None)

    def set_password(self, key: int, sent_password: str) -> None:
        """Change a password and end the user's sessions."""
        self._store.update("user", key, password=_protect(sent_password), modifiedAt=now())
        self.end_sessions(key)

    def end_sessions(self, key: int) -> None:
        """Log a user out everywhere."""
        with self._store.write() as db:
            self._store.count_change("session")
            db.execute("delete from sessions where user_id = ?", (key,))

    def log_in(self, username: str, sent_password: str) -> tuple[str, Document]:
        """Check a password and open a session.

        Returns:
            The token and the user.

        Raises:
            Refusal: Unknown user, wrong password, or the user is not active.
        """
        user = self.by_name(username)
        if user is None or not _matches(user["password"], sent_password):
            raise unauthenticated()
        if not user["active"]:
            raise unauthenticated("user not active")
        user = self._store.update("user", user["id"], lastAuthAt=now())
        return self.open_session(user["id"]), user

    def open_session(self, user_id: int, seconds: float = SESSION_SECONDS) -> str:
        """Create a session and return its token."""
        token = f"v2.public.{secrets.token_urlsafe(32)}"
        with self._store.write() as db:
            db.execute("delete from sessions where expires < ?", (time.time(),))
            db.execute("insert into sessions values(?, ?, ?)", (_token_hash(token), user_id, time.time() + seconds))
        return token

    def close_session(self, token: str) -> None:
        """End one session."""
        with self._store.write() as db:
            self._store.count_change("session")
            db.execute("delete from sessions where token_hash = ?", (_token_hash(token),))

    def user_of(self, token: str) -> Document:
        """Return a session's user.

        Raises:
            Refusal: The token is unknown or has expired.
        """
        session = self._sessions.get(token)
        if session is None or session[1] < time.time():
            raise unauthenticated()
        user = self._users.get(session[0])
        if user is None or not user["active"]:
            raise unauthenticated()
        return user

    def _read_session(self, token: str) -> tuple[int, float] | None:
        """Read a session's user and expiry time."""
        with self._store.read() as db:
            row = db.execute(
                "select user_id, expires from sessions where token_hash = ?", (_token_hash(token),)
            ).fetchone()
        return (int(row[0]), float(row[1])) if row else None

    # -- allocations ---------------------------------------------------------------------------------------------

    def open_allocation(self, allocation_id: str, user_id: int) -> str:
        """Create a token that lets an allocation's processes act for a user until the allocation ends."""
        token = f"v2.public.allocation.{secrets.token_urlsafe(32)}"
        self._allocations[token] = (allocation_id, user_id)
        return token

    def close_allocation(self, token: str) -> None:
        """Revoke an allocation's token."""
        self._allocations.pop(token, None)

    def allocation_of(self, token: str) -> tuple[str, Document]:
        """Return a token's allocation and the user that it acts for.

        Raises:
            Refusal: The token is unknown.
        """
        found = self._allocations.get(token)
        if found is None:
            raise unauthenticated("allocation token is not valid")
        user = self._users.get(found[1])
        if user is None:
            raise unauthenticated()
        return found[0], user
