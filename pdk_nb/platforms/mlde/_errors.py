"""Errors of Determined's client as errors of the lab."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from pdk_shared.errors import NoAnswer, NotFound, PdkError, ServiceUnreachable


def client_errors() -> ModuleType:
    """The client's module of exceptions; the client warns of its own deprecated classes while it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        from determined.common.api import errors
    return errors


@contextmanager
def api_errors(where: str = "", refusal: str = "", kind: type[PdkError] | None = None, fix: str = "") -> Iterator[None]:
    """Raise an error of the lab in place of one of the client; also a decorator.

    Args:
        where: The object or address that is asked for.
        refusal: What a refusal of the master means here.
        kind: The error for a refusal. Without it, what is missing raises :class:`NotFound`.
        fix: What to do after a refusal, or when the master does not answer.

    Raises:
        ServiceUnreachable: Determined does not answer, or refuses the request.
        NotFound: There is no such thing, and no ``kind`` is given.
    """
    errors = client_errors()
    try:
        yield
    except (errors.BadRequestException, errors.BadResponseException) as error:
        text = first_line(error)
        if kind is not None:
            raise kind(f"{refusal}: {text}", where=where, fix=fix) from error
        if isinstance(error, errors.NotFoundException):
            raise NotFound(f"Determined doesn't have it: {text}", where=where) from error
        if isinstance(error, errors.MasterNotFoundException):
            raise NoAnswer(f"Determined doesn't answer: {text}", where=where, fix=fix) from error
        raise ServiceUnreachable(f"Determined refuses the request: {text}", where=where, fix=fix) from error
    except OSError as error:
        raise NoAnswer(f"Determined doesn't answer: {first_line(error)}", where=where, fix=fix) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text; its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
