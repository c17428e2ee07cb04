"""The one polling loop, and the errors that leave the platforms' modules."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import grpc
import kubernetes
import pytest
import urllib3

from pdk_nb.platforms import cluster, mlde, mldm, serving, storage
from pdk_nb.platforms.waiting import changes, wait
from pdk_shared.errors import DeploymentError, NoAnswer, NotFound, ServiceUnreachable, SpecError, TrainingError


def late(state: int) -> TrainingError:
    return TrainingError(f"still at {state}")


def test_the_first_state_that_is_done_ends_the_wait() -> None:
    states, seen = iter(range(5)), []
    assert (
        wait(lambda: next(states), lambda state: state == 3, timeout=9, reason=late, interval=0, progress=seen.append)
        == 3
    )
    assert seen == [0, 1, 2, 3]


def test_the_deadline_gives_the_reason_of_the_last_state() -> None:
    states = iter(range(10**6))
    with pytest.raises(TrainingError, match=r"still at \d+"):
        wait(lambda: next(states), lambda state: False, timeout=0.05, reason=late, interval=0.01)
    with pytest.raises(TrainingError, match="still at 7"):
        wait(lambda: 7, lambda state: False, timeout=0, reason=late)


def looks(*results: int | Exception) -> Iterator[Any]:
    yield from results


def test_a_platform_may_be_away_as_long_as_patience_lasts() -> None:
    away = NoAnswer("gone")

    def look() -> int:
        found = next(results)
        if isinstance(found, Exception):
            raise found
        return int(found)

    results = looks(1, away, away, 2)
    assert wait(look, lambda state: state == 2, timeout=9, reason=late, interval=0, patience=60) == 2
    results = looks(1, away, 2)
    assert wait(look, lambda state: state == 2, timeout=9, reason=late, interval=0) == 2
    results = looks(1, away, 2)
    with pytest.raises(NoAnswer):
        wait(look, lambda state: state == 2, timeout=9, reason=late, interval=0, patience=0)
    # A platform that refuses the credentials answers; waiting doesn't help.
    results = looks(1, ServiceUnreachable("wrong token"), 2)
    with pytest.raises(ServiceUnreachable, match="wrong token"):
        wait(look, lambda state: state == 2, timeout=9, reason=late, interval=0)


def test_a_drawing_may_meet_an_outage_too() -> None:
    drawn: list[int] = []

    def draw(state: int) -> None:
        drawn.append(state)
        if len(drawn) == 1:
            raise NoAnswer("Determined restarts")

    assert wait(lambda: 2, lambda state: state == 2, timeout=9, reason=late, interval=0, progress=draw) == 2
    assert drawn == [2, 2]


def test_only_changes_are_passed_on() -> None:
    seen: list[str] = []
    report = changes(seen.append)
    for state in ("a", "a", "b", "a"):
        report(state)
    assert seen == ["a", "b", "a"]
    changes(None)("a")


class Refusal(grpc.RpcError):
    """An answer of pachd."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__()
        self._code, self._text = code, text

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._text


@pytest.mark.parametrize(
    ("code", "text", "kind", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, "no connection", None, NoAnswer),
        (grpc.StatusCode.UNAVAILABLE, "no connection", SpecError, NoAnswer),
        (grpc.StatusCode.UNAUTHENTICATED, "no token", SpecError, ServiceUnreachable),
        (grpc.StatusCode.NOT_FOUND, "repo x", None, NotFound),
        (grpc.StatusCode.UNKNOWN, "repo x not found", None, NotFound),
        (grpc.StatusCode.NOT_FOUND, "repo x", SpecError, SpecError),
        (grpc.StatusCode.INVALID_ARGUMENT, "glob", SpecError, SpecError),
        (grpc.StatusCode.INTERNAL, "disk", None, ServiceUnreachable),
    ],
)
def test_errors_of_pachyderm(code: Any, text: str, kind: Any, expected: type[Exception]) -> None:
    with pytest.raises(expected, match=text) as caught, mldm.api_errors("repo p/x", "Refused", kind):
        raise Refusal(code, text)
    assert type(caught.value) is expected


def test_errors_of_determined() -> None:
    from determined.common.api import errors

    for error, kind, expected in (
        (errors.NotFoundException("no model"), None, NotFound),
        (errors.NotFoundException("no model"), TrainingError, TrainingError),
        (errors.BadRequestException("bad slots"), TrainingError, TrainingError),
        (errors.ForbiddenException("not yours"), None, ServiceUnreachable),
        (errors.MasterNotFoundException("port"), None, NoAnswer),
        (ConnectionRefusedError("port"), TrainingError, NoAnswer),
    ):
        with pytest.raises(expected) as caught, mlde.api_errors("model m", "Refused", kind):
            raise error
        assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, NotFound),
        (409, cluster.Conflict),
        (422, DeploymentError),
        (403, ServiceUnreachable),
        (500, ServiceUnreachable),
    ],
)
def test_errors_of_kubernetes(status: int, expected: type[Exception]) -> None:
    where = cluster.Cluster(custom=None, core=None, namespace="models", server="https://127.0.0.1:6443")
    with pytest.raises(expected) as caught, cluster.api_errors(where, "service x"):
        raise kubernetes.client.ApiException(status=status, reason="because")
    assert type(caught.value) is expected


def test_a_cluster_that_is_away() -> None:
    where = cluster.Cluster(custom=None, core=None, namespace="models", server="https://127.0.0.1:6443")
    with pytest.raises(NoAnswer), cluster.api_errors(where, "service x"):
        raise urllib3.exceptions.ProtocolError("Connection aborted")


@pytest.mark.parametrize("platform", [mldm, mlde, serving, storage])
def test_a_platforms_public_names(platform: ModuleType) -> None:
    names = list(platform.__all__)
    assert len(set(names)) == len(names)
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert all(hasattr(platform, name) for name in names)


@pytest.mark.parametrize("platform", [mldm, mlde, serving])
def test_waits_are_called_alike(platform: ModuleType) -> None:
    waits = [getattr(platform, name) for name in platform.__all__ if name.startswith("wait_")]
    assert waits
    for each in waits:
        parameters = inspect.signature(each).parameters
        assert {"timeout", "interval"} <= set(parameters)
        assert next(iter(parameters)) in ("client", "where")
