"""Users, passwords and sessions.

The client sends ``sha512("GubPEmmotfiK9TMD6Zdw" + password)`` in hexadecimal, or an empty string for a blank
password (``determined.common.api.salt_and_hash``). What is stored is a salted scrypt hash of that.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from typing import Any

from pdk_stack.determined.errors import already_exists, invalid, not_found, unauthenticated
from pdk_stack.determined.store.documents import Document, Store
from pdk_stack.determined.timestamps import now

__all__ = ["Accounts", "client_hash"]

CLIENT_SALT = "GubPEmmotfiK9TMD6Zdw"
#: Sessions end after seven days, as the master's do.
SESSION_SECONDS = 7 * 24 * 3600.0
_SCRYPT: dict[str, Any] = {"n": 2**13, "r": 8, "p": 1}


def client_hash(password: str) -> str:
    """What the client sends for a password."""
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
        self._lock = threading.Lock()
        # Every request of every trial authenticates: no database access for a known token.
        self._known: dict[str, tuple[int, float]] = {}
        self._allocations: dict[str, tuple[str, int]] = {}
        self._users: dict[int, tuple[int, Document | None]] = {}

    def ensure(self, username: str, password: str, *, admin: bool) -> Document:
        """A user of that name with that password, made or brought up to date."""
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
        """Make a user.

        Raises:
            ApiError: The name is taken or empty.
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
        """A user by id.

        Raises:
            ApiError: There is none.
        """
        found = self._store.get("user", key)
        if found is None:
            raise not_found(f"user '{key}' not found")
        return found

    def by_name(self, username: str) -> Document | None:
        """A user by name; names do not tell upper from lower case."""
        wanted = username.lower()
        return next((user for user in self._store.list("user") if user["username"].lower() == wanted), None)

    def set_password(self, key: int, sent_password: str) -> None:
        """Change a password and end the user's sessions."""
        self._store.update("user", key, password=_protect(sent_password), modifiedAt=now())
        self.end_sessions(key)

    def end_sessions(self, key: int) -> None:
        """Log a user out everywhere."""
        with self._store.write() as db:
            db.execute("delete from sessions where user_id = ?", (key,))
        with self._lock:
            self._known = {token: entry for token, entry in self._known.items() if entry[0] != key}

    def log_in(self, username: str, sent_password: str) -> tuple[str, Document]:
        """Check a password and open a session.

        Returns:
            The token and the user.

        Raises:
            ApiError: Unknown user, wrong password, or the user is not active.
        """
        user = self.by_name(username)
        if user is None or not _matches(user["password"], sent_password):
            raise unauthenticated()
        if not user["active"]:
            raise unauthenticated("user not active")
        user = self._store.update("user", user["id"], lastAuthAt=now())
        return self.open_session(user["id"]), user

    def open_session(self, user_id: int, seconds: float = SESSION_SECONDS) -> str:
        """A new token for a user."""
        token = f"v2.public.{secrets.token_urlsafe(32)}"
        with self._store.write() as db:
            db.execute("delete from sessions where expires < ?", (time.time(),))
            db.execute("insert into sessions values(?, ?, ?)", (_token_hash(token), user_id, time.time() + seconds))
        return token

    def close_session(self, token: str) -> None:
        """End one session."""
        with self._store.write() as db:
            db.execute("delete from sessions where token_hash = ?", (_token_hash(token),))
        with self._lock:
            self._known.pop(token, None)

    def user_of(self, token: str) -> Document:
        """The user of a session.

        Raises:
            ApiError: The token is unknown or has expired.
        """
        with self._lock:
            entry = self._known.get(token)
        if entry is None:
            row = self._store.db.execute(
                "select user_id, expires from sessions where token_hash = ?", (_token_hash(token),)
            ).fetchone()
            if row is None:
                raise unauthenticated()
            entry = (int(row[0]), float(row[1]))
            with self._lock:
                self._known[token] = entry
        if entry[1] < time.time():
            raise unauthenticated()
        user = self._user(entry[0])
        if user is None or not user["active"]:
            raise unauthenticated()
        return user

    def _user(self, key: int) -> Document | None:
        """The user behind a token; read again only after a change of users."""
        version = self._store.version("user")
        known = self._users.get(key)
        if known is None or known[0] != version:
            known = self._users[key] = (version, self._store.get("user", key))
        return known[1]

    # -- allocations ---------------------------------------------------------------------------------------------

    def open_allocation(self, allocation_id: str, user_id: int) -> str:
        """A token for the processes of one allocation, acting for a user; it lives as long as they do."""
        token = f"v2.public.allocation.{secrets.token_urlsafe(32)}"
        with self._lock:
            self._allocations[token] = (allocation_id, user_id)
        return token

    def close_allocation(self, token: str) -> None:
        """Take an allocation's token back."""
        with self._lock:
            self._allocations.pop(token, None)

    def allocation_of(self, token: str) -> tuple[str, Document]:
        """The allocation of a token, and the user that it acts for.

        Raises:
            ApiError: The token is unknown.
        """
        with self._lock:
            found = self._allocations.get(token)
        if found is None:
            raise unauthenticated("allocation token is not valid")
        user = self._user(found[1])
        if user is None:
            raise unauthenticated()
        return found[0], user
