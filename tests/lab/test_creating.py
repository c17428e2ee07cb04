"""Creating what people share: who comes second accepts what the first one made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import kubernetes
import pytest
import requests

from pdk_nb.platforms import mlde, mldm
from pdk_nb.platforms.cluster import Cluster
from pdk_nb.platforms.creating import create_or_accept
from pdk_nb.platforms.mlde._errors import client_errors
from pdk_nb.platforms.serving import account
from pdk_shared.errors import PdkError, ServiceUnreachable


def test_an_error_stays_one_when_nobody_else_created_it() -> None:
    def refuse() -> str:
        raise ServiceUnreachable("no")

    with pytest.raises(ServiceUnreachable, match="no"):
        create_or_accept(lambda: None, refuse)
    assert create_or_accept(lambda: None, lambda: "new") == ("new", True)
    assert create_or_accept(lambda: "old", refuse) == ("old", False)


class Refused(grpc.RpcError):  # type: ignore[misc]
    """What pachd answers; some releases say UNKNOWN."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return "it already exists"


class Missing(Refused):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.NOT_FOUND


class Pachd:
    """A server on which somebody else creates everything between our look and our call."""

    def __init__(self) -> None:
        self.made: set[str] = set()

    def list_project(self) -> list[Any]:
        return [SimpleNamespace(project=SimpleNamespace(name=name)) for name in self.made]

    def create_project(self, name: str, description: str) -> None:
        self.made.add(name)
        raise Refused

    def inspect_repo(self, name: str, project_name: str) -> None:
        if name not in self.made:
            raise Missing

    def create_repo(self, name: str, description: str, project_name: str) -> None:
        self.made.add(name)
        raise Refused


def test_projects_and_repos_of_pachyderm() -> None:
    client: Any = Pachd()
    assert mldm.ensure_project(client, "p") == "unchanged"
    assert mldm.ensure_repo(client, "p", "r") == "unchanged"


def conflict(*_: object, **__: object) -> None:
    response = requests.Response()
    response.status_code = 409
    response._content = b'{"error": {"code": 6, "error": "avoid names equal to other workspaces"}}'
    raise client_errors().APIException(response)


def test_workspaces_projects_and_models_of_determined(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = {"workspace": 0, "project": 0, "model": 0}

    def second_look(kind: str, found: Any) -> Any:
        looks[kind] += 1
        if looks[kind] == 1:
            raise client_errors().NotFoundException("no")
        return found

    home = SimpleNamespace(get_project=lambda name: second_look("project", name), create_project=conflict)
    client: Any = SimpleNamespace(
        get_workspace=lambda name: second_look("workspace", home), create_workspace=conflict, create_model=conflict
    )
    assert str(mlde.ensure_project(client, "w", "p")) == "p"
    found = iter([None, "model"])
    monkeypatch.setattr("pdk_nb.platforms.mlde._registry.find_model", lambda client, name: next(found))
    assert str(mlde.ensure_model(client, "m", labels=[], metadata={})) == "model"


@pytest.mark.parametrize("kind", ["secret", "service_account"])
def test_the_shared_secret_and_account(kind: str) -> None:
    body = {"apiVersion": "v1", "metadata": {"name": "shared", "namespace": "models"}}
    stored: list[dict[str, Any]] = []

    def read(*_: object, **__: object) -> dict[str, Any]:
        if not stored:
            raise kubernetes.client.ApiException(status=404, reason="Not Found")
        return stored[0]

    def create(*_: object, **__: object) -> None:
        stored.append(body)
        raise kubernetes.client.ApiException(status=409, reason="Conflict")

    names = {f"read_namespaced_{kind}": read, f"create_namespaced_{kind}": create}
    core = SimpleNamespace(api_client=SimpleNamespace(sanitize_for_serialization=lambda found: found), **names)
    assert account._ensure(Cluster(None, core, "models", "http://server"), kind, body) is False


def test_a_refusal_to_create_the_account_is_told() -> None:
    def refuse(*_: object, **__: object) -> None:
        raise kubernetes.client.ApiException(status=404, reason="namespaces models not found")

    core = SimpleNamespace(read_namespaced_secret=refuse, create_namespaced_secret=refuse)
    with pytest.raises(PdkError, match="no such object"):
        account._ensure(Cluster(None, core, "models", "http://server"), "secret", {"metadata": {"name": "s"}})
