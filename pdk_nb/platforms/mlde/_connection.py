"""Connecting to Determined's master."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pdk_nb.platforms.mlde._errors import api_errors, client_errors
from pdk_shared.errors import ServiceUnreachable

if TYPE_CHECKING:
    from determined.common.experimental.determined import Determined


@contextmanager
def _login_errors(master: str, user: str) -> Iterator[None]:
    errors = client_errors()
    fix = "check mlde_host and mlde_port in pdk-config, and that this machine reaches them"
    with api_errors(master, fix=fix):
        try:
            yield
        except (errors.UnauthenticatedException, errors.ForbiddenException) as error:
            raise ServiceUnreachable(
                f"Determined refuses the login of {user!r}.",
                where=master,
                fix="check det_user and det_password in pipeline-secret",
            ) from error
        except ValueError as error:
            raise ServiceUnreachable(f"Determined doesn't answer: {error}", where=master, fix=fix) from error


def connect(master: str, user: str, password: str) -> Determined:
    """Log in.

    Args:
        master: ``host:port`` or a URL.
        user: User name.
        password: Password.

    Raises:
        ServiceUnreachable: The master does not answer, or refuses the login.
    """
    if not master:
        raise ServiceUnreachable(
            "The address of Determined is unknown.", fix="set DET_MASTER, or mlde_host in pdk-config"
        )
    with warnings.catch_warnings():
        # The client warns about its own deprecated classes at import.
        warnings.simplefilter("ignore")
        from determined.common.experimental.determined import Determined
    with _login_errors(master, user):
        client = Determined(master=master, user=user, password=password)
        client.whoami()
    return client


def check_login(master: str, user: str, password: str) -> None:
    """Log in again: the client itself uses a stored token if it has one, and then ignores the password.

    Args:
        master: ``host:port`` or a URL.
        user: User name.
        password: Password.

    Raises:
        ServiceUnreachable: The master refuses the login, or does not answer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        from determined.common.api import authentication
    errors = client_errors()
    with _login_errors(master, user):
        try:
            authentication.login(master, user, password)
        except errors.APIException as error:
            raise errors.ForbiddenException(str(error)) from error


def session(client: Determined) -> Any:
    """The client's HTTP session, for calls that have no method of their own."""
    return client._session
