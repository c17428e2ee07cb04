"""Access tokens: sessions with a name that last until they expire or are revoked.

Sources: ``api_token.go`` and ``token/`` in ``master/internal`` of Determined 0.38.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

from pdk_stack.determined.core.accounts import Accounts
from pdk_stack.determined.core.durations import parse_duration
from pdk_stack.determined.errors import invalid, not_found
from pdk_stack.determined.store.documents import Document, Store
from pdk_stack.determined.timestamps import now, parse, written

__all__ = ["AccessTokens"]

LONGEST = timedelta(days=30)
INFINITE = "-1"


class AccessTokens:
    """All access tokens.

    Args:
        store: The master's database.
        accounts: Users and their sessions; an access token is a session of its own.
    """

    def __init__(self, store: Store, accounts: Accounts) -> None:
        self._store = store
        self._accounts = accounts

    def create(self, user_id: int, lifespan: str | None, description: str) -> tuple[str, int]:
        """Create a token.

        Args:
            lifespan: How long it lasts, as Go writes a duration; ``-1`` is as long as possible.

        Returns:
            The token and its id.

        Raises:
            Refusal: The user doesn't exist, or the lifespan is not valid.
        """
        user = self._accounts.get(user_id)
        length = LONGEST
        if lifespan is not None and lifespan != INFINITE:
            found = parse_duration(lifespan)
            if found is None:
                shown = json.dumps(lifespan, ensure_ascii=False)
                raise invalid(f"failed to parse lifespan {lifespan}: time: invalid duration {shown}")
            if found < timedelta():
                raise invalid("lifespan must be a Go-formatted duration string with a positive value")
            if found > LONGEST:
                raise invalid("token Lifespan must be less than max token lifespan")
            length = found
        with self._store.write():
            token = self._accounts.open_session(user["id"], length.total_seconds())
            key = self._store.next_id("access_token")
            document = {
                "id": key,
                "userId": user["id"],
                "tokenHash": self._accounts.token_hash(token),
                "expiry": written(datetime.now(timezone.utc) + length),
                "createdAt": now(),
                "revoked": False,
                "description": description,
            }
            self._store.put("access_token", key, document, parent=user["id"])
        return token, key

    def get(self, key: int) -> Document:
        """Return a token's document.

        Raises:
            Refusal: It doesn't exist.
        """
        found = self._store.get("access_token", key)
        if found is None:
            raise not_found(f"Token with id: {{{key}}} not found")
        return found

    def all(self, *, inactive: bool) -> list[Document]:
        """List the tokens; expired and revoked ones only if they are wanted."""
        moment = datetime.now(timezone.utc)
        return [
            each
            for each in self._store.list("access_token")
            if inactive or (not each["revoked"] and parse(each["expiry"]) > moment)
        ]

    def change(self, key: int, description: str | None, revoke: bool) -> Document:
        """Change a token's description, or revoke it.

        Raises:
            Refusal: It doesn't exist.
        """
        with self._store.write():
            found = self.get(key)
            changes: dict[str, object] = {} if description is None else {"description": description}
            if revoke and not found["revoked"]:
                self._accounts.close_session_of(found["tokenHash"])
                changes["revoked"] = True
            return self._store.update("access_token", key, **changes)

    def revoke_all(self, user_id: int) -> None:
        """Revoke a user's tokens."""
        for each in self._store.list("access_token", user_id):
            self.change(each["id"], None, True)
