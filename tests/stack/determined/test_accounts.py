"""Users, passwords and sessions, without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pdk_stack.common.errors import Refusal
from pdk_stack.determined.core import accounts
from pdk_stack.determined.core.accounts import Accounts, client_hash
from pdk_stack.determined.store.documents import Store

SENT = client_hash("Some-pass-1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "master.sqlite")
    yield made
    made.close()


def test_sessions_expire(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    users = Accounts(store)
    users.create("ann", SENT)
    token, _ = users.log_in("ann", SENT)
    start = accounts.time.time()
    assert users.user_of(token)["username"] == "ann"
    for age, lives in ((accounts.SESSION_SECONDS - 60, True), (accounts.SESSION_SECONDS + 60, False)):
        monkeypatch.setattr(accounts.time, "time", lambda age=age: start + age)
        # A master that was started anew knows the session from its database, this one from memory.
        for each in (users, Accounts(store)):
            if lives:
                assert each.user_of(token)["username"] == "ann"
            else:
                with pytest.raises(Refusal):
                    each.user_of(token)


def test_passwords_and_tokens_are_kept_as_hashes(store: Store, tmp_path: Path) -> None:
    users = Accounts(store)
    users.create("ann", SENT)
    token, _ = users.log_in("ann", SENT)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in ("Some-pass-1", SENT, token):
        assert secret.encode() not in kept


def test_a_change_of_users_is_seen_at_once(store: Store) -> None:
    users = Accounts(store)
    key = users.create("ann", SENT)["id"]
    token, _ = users.log_in("ann", SENT)
    trial = users.open_allocation("1.a.1", key)
    assert users.user_of(token)["admin"] is False
    store.update("user", key, admin=True)
    assert users.user_of(token)["admin"] is True
    store.update("user", key, active=False)
    with pytest.raises(Refusal):
        users.user_of(token)
    # What runs already goes on.
    assert users.allocation_of(trial)[0] == "1.a.1"
    users.close_allocation(trial)
    with pytest.raises(Refusal):
        users.allocation_of(trial)


def test_a_new_password_ends_all_sessions(store: Store) -> None:
    users = Accounts(store)
    key = users.create("ann", SENT)["id"]
    token, _ = users.log_in("ann", SENT)
    users.change(users.get(key), {}, client_hash("Other-pass-2"))
    with pytest.raises(Refusal):
        users.user_of(token)
    with pytest.raises(Refusal):
        users.log_in("ann", SENT)
    users.log_in("ann", client_hash("Other-pass-2"))


def test_a_closed_session_ends_at_once(store: Store) -> None:
    users = Accounts(store)
    users.create("ann", SENT)
    token, other = users.log_in("ann", SENT)[0], users.log_in("ann", SENT)[0]
    assert users.user_of(token)["username"] == users.user_of(other)["username"] == "ann"
    users.close_session(token)
    with pytest.raises(Refusal):
        users.user_of(token)
    assert users.user_of(other)["username"] == "ann"
