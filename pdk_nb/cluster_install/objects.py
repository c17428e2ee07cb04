"""Objects of any kind on a cluster, through the official client's connection.

The client's own classes know only Kubernetes' kinds. The installer also reads Helm's objects and applies manifests with
custom ones, so it asks the API which resources each group has, as kubectl does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pdk_nb.cluster_install.tools import InstallError
from pdk_nb.platforms.cluster import REQUEST_TIMEOUT_S, Object
from pdk_shared.errors import NoAnswer

__all__ = ["FIELD_MANAGER", "Api", "Refused", "reference"]

FIELD_MANAGER = "pdk-nb"


class Refused(InstallError):
    """The Kubernetes API refuses a request.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, status: int, what: str, where: str) -> None:
        fix = "kubectl auth can-i --list  shows what this user may do." if status in (401, 403) else ""
        super().__init__(what, where=where, fix=fix)
        self.status = status


def reference(thing: Object) -> dict[str, str]:
    """What names an object: its API version, kind, namespace, and name."""
    meta = thing["metadata"]
    return {
        "apiVersion": thing["apiVersion"],
        "kind": thing["kind"],
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
    }


class Api:
    """Objects of a cluster.

    Args:
        client: API client of ``kubernetes``.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._resources: Callable[[str], dict[str, tuple[str, bool]]] = lru_cache(maxsize=None)(self._ask_resources)

    @property
    def server(self) -> str:
        """Address of the Kubernetes API."""
        return str(self._client.configuration.host)

    def request(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
        """One request.

        Args:
            method: HTTP method.
            path: Path with its query.
            body: What to send; None for nothing.
            content: Type of the body.

        Returns:
            The answer as JSON; a text if it isn't.

        Raises:
            Refused: The API refuses it.
            NoAnswer: The API doesn't answer.
        """
        import kubernetes
        import urllib3

        headers = {"Accept": "application/json", "Content-Type": content}
        # The client's own bookkeeping of logins: a certificate, a token, or a program.
        self._client.update_params_for_auth(headers, [], ["BearerToken"])
        try:
            answer = self._client.rest_client.request(
                method, self.server + path, headers=headers, body=body, _request_timeout=REQUEST_TIMEOUT_S
            )
        except kubernetes.client.ApiException as error:
            raise _refused(error, path) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NoAnswer(
                f"The Kubernetes API doesn't answer: {getattr(error, 'reason', None) or error}",
                where=self.server,
                fix="kubectl cluster-info",
            ) from error
        text = answer.data.decode(errors="replace") if isinstance(answer.data, bytes) else str(answer.data)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def _ask_resources(self, version: str) -> dict[str, tuple[str, bool]]:
        """Plural name and whether it has a namespace, by kind, of one API version."""
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        found = self.request("GET", root)
        return {
            each["kind"]: (each["name"], bool(each["namespaced"]))
            for each in found.get("resources", [])
            if "/" not in each["name"]
        }

    def path(self, version: str, kind: str, namespace: str = "", name: str = "") -> str:
        """Path of an object, or of all of a kind.

        Raises:
            Refused: The cluster has no such kind; status 404.
        """
        known = self._resources(version)
        if kind not in known:
            # It may have come with a CRD since.
            known = self._ask_resources(version)
        if kind not in known:
            raise Refused(404, f"The cluster has no kind {kind} in {version}.", self.server)
        plural, namespaced = known[kind]
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        place = f"/namespaces/{quote(namespace)}" if namespaced and namespace else ""
        return f"{root}{place}/{plural}" + (f"/{quote(name, safe='')}" if name else "")

    def get(self, version: str, kind: str, namespace: str, name: str) -> Object | None:
        """An object; None when there is none, or no such kind."""
        try:
            found: Object = self.request("GET", self.path(version, kind, namespace, name))
        except Refused as error:
            if error.status == 404:
                return None
            raise
        return found

    def list(self, version: str, kind: str, namespace: str = "", **selectors: str) -> list[Object]:
        """All objects of a kind; empty when there is no such kind.

        Args:
            version: API version.
            kind: The kind.
            namespace: Their namespace; all when empty.
            selectors: ``labelSelector`` or ``fieldSelector``.
        """
        query = f"?{urlencode(selectors)}" if selectors else ""
        try:
            found: list[Object] = self.request("GET", self.path(version, kind, namespace) + query).get("items") or []
        except Refused as error:
            if error.status == 404:
                return []
            raise
        return found

    def apply(self, thing: Object) -> bool:
        """Create or change an object by server-side apply.

        Returns:
            Whether anything changed.
        """
        named = reference(thing)
        place = self.path(named["apiVersion"], named["kind"], named["namespace"], named["name"])
        before = self.get(named["apiVersion"], named["kind"], named["namespace"], named["name"])
        query = urlencode({"fieldManager": FIELD_MANAGER, "force": "true"})
        # JSON is YAML; the client sends a dict as JSON whatever the type is called.
        after = self.request("PATCH", f"{place}?{query}", thing, "application/apply-patch+yaml")
        same = before and before["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion")
        return not same

    def merge(self, version: str, kind: str, namespace: str, name: str, patch: Object) -> None:
        """Change some fields of an object."""
        self.request("PATCH", self.path(version, kind, namespace, name), patch, "application/merge-patch+json")

    def delete(self, named: dict[str, str]) -> bool:
        """Delete an object and what belongs to it.

        Returns:
            Whether there was one.
        """
        try:
            place = self.path(named["apiVersion"], named["kind"], named["namespace"], named["name"])
            self.request("DELETE", place, {"propagationPolicy": "Background"})
        except Refused as error:
            if error.status == 404:
                return False
            raise
        return True


def _refused(error: Any, path: str) -> Refused:
    try:
        message = str(json.loads(error.body or "{}").get("message", ""))
    except (ValueError, AttributeError, TypeError):
        message = ""
    return Refused(int(error.status or 0), f"The cluster refuses it: {message or error.reason}", path.split("?")[0])


def read_documents(path: Path) -> Iterator[Object]:
    """The objects of a file with YAML documents."""
    import yaml

    for each in yaml.safe_load_all(path.read_text()):
        if each:
            yield each
