"""Users, passwords, and sessions.

The client sends ``sha512("GubPEmmotfiK9TMD6Zdw" + password)`` in hexadecimal, or an empty string for a blank
password (``determined.common.api.salt_and_hash``). The database stores a salted scrypt hash of that value.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import Any

from pdk_stack.determined.errors import already_exists, forbidden, invalid, not_found, unauthenticated
from pdk_stack.determined.store.documents import Copies, Document, Store
from pdk_stack.determined.timestamps import now

__all__ = ["Accounts", "agent_group", "client_hash"]

CLIENT_SALT = "GubPEmmotfiK9TMD6Zdw"
#: Sessions expire after seven days, as the master's do.
SESSION_SECONDS = 7 * 24 * 3600.0
_SCRYPT: dict[str, Any] = {"n": 2**13, "r": 8, "p": 1}
_AGENT_GROUP = ("agentUid", "agentGid", "agentUser", "agentGroup")
_NOT_ASCII = re.compile(r"[^!-~\s]", re.ASCII)
NAME_LENGTH = 2
#: Stored instead of a hash; no password matches it.
NO_PASSWORD = ""


def client_hash(password: str) -> str:
    """Hash a password as the client does."""
    return hashlib.sha512((CLIENT_SALT + password).encode()).hexdigest() if password else ""


def _protect(sent: str) -> str:
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${hashlib.scrypt(sent.encode(), salt=salt, **_SCRYPT).hex()}"


def _matches(stored: str, sent: str) -> bool:
    if stored == NO_PASSWORD:
        return False
    salt, _, digest = stored.partition("$")
    found = hashlib.scrypt(sent.encode(), salt=bytes.fromhex(salt), **_SCRYPT).hex()
    return hmac.compare_digest(found, digest)


def _cleared(name: str, user: Document, shortest: int = 0) -> str:
    """Return a user name or display name without the blanks around it.

    Source: ``clearUsername`` in ``master/internal/api_user.go``.
    """
    name = name.strip()
    if _NOT_ASCII.search(name):
        raise invalid("Display name and username cannot contain non-ASCII characters.")
    if len(name) < shortest:
        raise invalid("Display name or username value has minimum length.")
    if not user["admin"] and name.lower() == "admin":
        raise invalid("Non-admin user cannot be renamed 'admin'")
    if user["username"] != "determined" and name.lower() == "determined":
        raise invalid("User cannot be renamed 'determined'")
    return name


def agent_group(sent: dict[str, Any]) -> dict[str, Any] | None:
    """Return a user's agent user group as stored; an empty one takes the stored one away.

    Raises:
        Refusal: A part is missing.
    """
    found = {name: sent.get(name) for name in _AGENT_GROUP}
    if all(value is None for value in found.values()):
        return None
    if any(value is None for value in found.values()):
        raise invalid("agentUid, agentGid, agentUser and agentGroup cannot be empty")
    if not found["agentUser"] or not found["agentGroup"]:
        raise invalid("agentUser and agentGroup names cannot be empty")
    return found


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
        self,
        username: str,
        sent_password: str,
        *,
        admin: bool = False,
        active: bool = True,
        remote: bool = False,
        display_name: str = "",
        agent_user_group: dict[str, Any] | None = None,
    ) -> Document:
        """Create a user.

        Args:
            sent_password: The password as the client hashes it; a remote user has none.

        Raises:
            Refusal: A name is not allowed or taken.
        """
        user: Document = {
            "id": 0,
            "username": username,
            "admin": admin,
            "active": active,
            "displayName": display_name,
            "password": NO_PASSWORD if remote else _protect(sent_password),
            "modifiedAt": now(),
            "lastAuthAt": None,
            "remote": remote,
            "agentUserGroup": agent_user_group,
        }
        user["username"] = _cleared(username, user, NAME_LENGTH)
        user["displayName"] = _cleared(display_name, user)
        with self._store.write():
            if self.by_name(user["username"]):
                raise already_exists("code=400, message=user already exists")
            user["id"] = self._store.next_id("user")
            self._store.put("user", user["id"], user)
        return user

    def change(self, user: Document, changes: dict[str, Any], sent_password: str | None = None) -> Document:
        """Change a user.

        Args:
            changes: New values of stored fields.
            sent_password: A new password as the client hashes it; it ends the user's sessions.

        Raises:
            Refusal: A name is not allowed or taken, or a remote user is to have a name or a password.
        """
        changes = dict(changes)
        remote = bool(changes.get("remote", user["remote"]))
        if remote and changes.get("username", user["username"]) != user["username"]:
            raise invalid("Cannot set username for remote users")
        if remote and sent_password is not None:
            raise invalid("Cannot set password for remote users")
        if remote != user["remote"]:
            changes["password"] = NO_PASSWORD if remote else _protect("")
        if sent_password is not None:
            changes["password"] = _protect(sent_password)
        with self._store.write():
            others = [each for each in self._store.list("user") if each["id"] != user["id"]]
            if changes.get("username", user["username"]) != user["username"]:
                changes["username"] = _cleared(changes["username"], user, NAME_LENGTH)
                if any(each["username"] == changes["username"] for each in others):
                    raise already_exists(f"user {changes['username']} already exists")
            if changes.get("displayName", user["displayName"]) != user["displayName"]:
                shown = changes["displayName"] = _cleared(changes["displayName"], user)
                taken = {each[name].lower() for each in others for name in ("username", "displayName")}
                if shown and shown.lower() in taken:
                    raise invalid(f"can not change display name to {shown} found a similar username or display name")
            changed = self._store.update("user", user["id"], **changes, modifiedAt=now())
            if "password" in changes:
                self.end_sessions(user["id"])
        return changed

    def get(self, key: int) -> Document:
        """Return a user by id.

        Raises:
            Refusal: The user doesn't exist.
        """
        found = self._store.get("user", key)
        if found is None:
            raise not_found("user not found")
        return found

    def by_name(self, username: str) -> Document | None:
        """Return a user by name."""
        return next((user for user in self._store.list("user") if user["username"] == username), None)

    def end_sessions(self, key: int) -> None:
        """Log a user out everywhere; access tokens stay."""
        kept = [each["tokenHash"] for each in self._store.list("access_token", key)]
        with self._store.write() as db:
            self._store.count_change("session")
            marks = ",".join("?" * len(kept))
            db.execute(f"delete from sessions where user_id = ? and token_hash not in ({marks})", (key, *kept))

    def log_in(self, username: str, sent_password: str) -> tuple[str, Document]:
        """Check a password and open a session.

        Returns:
            The token and the user.

        Raises:
            Refusal: No name, unknown user, wrong password, or the user is not active.
        """
        if not username:
            raise invalid("missing argument: username")
        user = self.by_name(username)
        if user is None or user["remote"] or not _matches(user["password"], sent_password):
            raise unauthenticated()
        if not user["active"]:
            raise forbidden("user is not active")
        user = self._store.update("user", user["id"], lastAuthAt=now())
        return self.open_session(user["id"]), user

    def log_in_page(self, username: str, sent_password: str) -> str:
        """Check a password as the page outside the gateway does, and open a session.

        Returns:
            The token.

        Raises:
            Refusal: Unknown user, wrong password, or the user is not active.
        """
        user = self.by_name(username)
        if user is None:
            raise forbidden("user not found")
        if user["remote"]:
            raise forbidden("invalid credentials")
        if not user["active"]:
            raise forbidden("user not active")
        if not _matches(user["password"], sent_password):
            raise forbidden("invalid credentials")
        self._store.update("user", user["id"], lastAuthAt=now())
        return self.open_session(user["id"])

    def open_session(self, user_id: int, seconds: float = SESSION_SECONDS) -> str:
        """Create a session and return its token."""
        token = f"v2.public.{secrets.token_urlsafe(32)}"
        with self._store.write() as db:
            db.execute("delete from sessions where expires < ?", (time.time(),))
            db.execute("insert into sessions values(?, ?, ?)", (_token_hash(token), user_id, time.time() + seconds))
        return token

    def token_hash(self, token: str) -> str:
        """Return the form in which a session's token is stored."""
        return _token_hash(token)

    def close_session(self, token: str) -> None:
        """End one session, unless it belongs to an access token."""
        found = _token_hash(token)
        if not any(each["tokenHash"] == found for each in self._store.list("access_token")):
            self.close_session_of(found)

    def close_session_of(self, token_hash: str) -> None:
        """End the session whose token is stored in this form."""
        with self._store.write() as db:
            self._store.count_change("session")
            db.execute("delete from sessions where token_hash = ?", (token_hash,))

    def user_of(self, token: str) -> Document:
        """Return a session's user.

        Raises:
            Refusal: The token is unknown or has expired, or its user is not active.
        """
        session = self._sessions.get(token)
        if session is None or session[1] < time.time():
            found = _token_hash(token)
            if any(each["tokenHash"] == found and each["revoked"] for each in self._store.list("access_token")):
                raise unauthenticated("user access token revoked")
            raise unauthenticated()
        user = self._users.get(session[0])
        if user is None:
            raise unauthenticated()
        if not user["active"]:
            raise forbidden("user does not have permission")
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
