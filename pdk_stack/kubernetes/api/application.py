"""The WSGI application: authentication, paths, errors."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Iterable
from typing import Any

import yaml
from werkzeug.wrappers import Request, Response

from pdk_stack.kubernetes.api import discovery, protobuf
from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.api.logs import PodKeeper
from pdk_stack.kubernetes.api.replies import reply
from pdk_stack.kubernetes.api.resources import Resources
from pdk_stack.kubernetes.api.reviews import review
from pdk_stack.kubernetes.core.rbac import Action, Authorizer, User
from pdk_stack.kubernetes.errors import StatusError, bad_request, no_resource, not_implemented
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.registry import Registry

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 << 20
# What Kubernetes has and the embedded API has not, by the last part of the path.
REFUSED_SUBRESOURCES = {
    "exec",
    "attach",
    "portforward",
    "proxy",
    "eviction",
    "binding",
    "scale",
    "ephemeralcontainers",
}


class Application:
    """The embedded Kubernetes API.

    Args:
        store: The objects.
        registry: The kinds that are served.
        tokens: User by bearer token.
        pods: Knows what is behind the pods.
    """

    def __init__(
        self,
        store: ObjectStore,
        registry: Registry,
        tokens: dict[str, User],
        pods: PodKeeper,
    ) -> None:
        self.registry = registry
        self._tokens = tokens
        self._authorizer = Authorizer(store)
        self._resources = Resources(store, registry, pods)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        try:
            # Read first: an answer before the end of the body would break a kept connection.
            body = _body(request)
            user = self._authenticate(request)
            response = self._route(request, body, user)
        except StatusError as error:
            response = reply(error.status(), error.http_status)
        except Exception as error:  # the wire needs an answer whatever happens; the log has the cause
            log.exception("%s %s failed", request.method, request.path)
            failure = StatusError(500, "InternalError", f"Internal error occurred: {error}")
            response = reply(failure.status(), 500)
        log.debug("%s %s %s", request.method, request.full_path, response.status_code)
        return response(environ, start_response)

    def _authenticate(self, request: Request) -> User:
        """The user of a request; every path but the health checks needs a token.

        Raises:
            StatusError: 401 without a known token, 403 for an impersonation that is not allowed.
        """
        if request.path in ("/healthz", "/livez", "/readyz"):
            return User("system:anonymous")
        user = self._bearer(request)
        wanted = request.headers.get("Impersonate-User")
        if wanted:
            groups = tuple(request.headers.getlist("Impersonate-Group"))
            self._authorizer.require(user, Action("impersonate", "", "users", name=wanted))
            return User.named(wanted, groups)
        return user

    def _bearer(self, request: Request) -> User:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            for known, user in self._tokens.items():
                if hmac.compare_digest(known.encode(), token.strip().encode()):
                    return user
        raise StatusError(401, "Unauthorized", "Unauthorized")

    def _route(self, request: Request, body: Any, user: User) -> Response:
        parts = [part for part in request.path.strip("/").split("/") if part]
        if not parts:
            return reply({"paths": discovery.PATHS})
        head = parts[0]
        if head in ("healthz", "livez", "readyz"):
            return Response("ok", content_type="text/plain; charset=utf-8")
        if head == "version":
            return reply(discovery.VERSION)
        if head == "openapi":
            return self._openapi(parts)
        if head in ("api", "apis"):
            return self._api(request, parts, body, user)
        raise no_resource(f"{request.method} {request.path}")

    def _openapi(self, parts: list[str]) -> Response:
        if parts[1:2] != ["v3"]:
            raise no_resource("/" + "/".join(parts))
        if len(parts) == 2:
            return reply(discovery.openapi_index(self.registry))
        group, version = ("", parts[3]) if parts[2] == "api" else (parts[3], parts[4])
        return reply(discovery.openapi_document(self.registry, group, version))

    def _api(self, request: Request, parts: list[str], body: Any, user: User) -> Response:
        aggregated = "as=APIGroupDiscoveryList" in request.headers.get("Accept", "")
        if parts == ["api"]:
            if aggregated:
                return _aggregated(discovery.aggregated(self.registry, core=True))
            return reply({"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"]})
        if parts == ["apis"]:
            if aggregated:
                return _aggregated(discovery.aggregated(self.registry, core=False))
            return reply(discovery.group_list(self.registry))
        if parts[0] == "api":
            group, version, rest = "", parts[1], parts[2:]
        else:
            if len(parts) == 2:
                return reply(discovery.api_group(self.registry, parts[1]))
            group, version, rest = parts[1], parts[2], parts[3:]
        if not rest:
            return reply(discovery.resource_list(self.registry, group, version))
        if request.method == "POST" and group in ("authorization.k8s.io", "authentication.k8s.io"):
            return reply(review(self._authorizer, user, rest[0], body), 201)
        call = self._call(request, group, version, rest, body)
        resource = f"{call.kind.plural}/{call.subresource}" if call.subresource else call.kind.plural
        self._authorizer.require(user, Action(call.verb, group, resource, call.namespace or "", call.name))
        return self._resources.handle(call)

    def _call(self, request: Request, group: str, version: str, rest: list[str], body: Any) -> ResourceCall:
        query = {name: values[-1] for name, values in request.args.lists()}
        if rest[0] == "watch":
            query["watch"], rest = "true", rest[1:]
        namespace = None
        # namespaces/<name>[/status] is the namespace itself; namespaces/<name>/<plural> lies inside it.
        inside = len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize")
        if inside:
            namespace, rest = rest[1], rest[2:]
        kind = self.registry.find(group, version, rest[0]) if rest else None
        named = f"{request.method} {request.path}"
        if kind is None:
            raise no_resource(named)
        subresource = rest[2] if len(rest) > 2 else ""
        if subresource in REFUSED_SUBRESOURCES:
            raise not_implemented(f"{kind.plural}/{subresource} ({named})")
        return ResourceCall(
            method=request.method,
            kind=kind,
            namespace=namespace if kind.namespaced else None,
            name=rest[1] if len(rest) > 1 else "",
            subresource=subresource,
            query=query,
            body=body,
            accept=request.headers.get("Accept", ""),
            content_type=request.headers.get("Content-Type", "").split(";")[0].strip(),
            user_agent=request.headers.get("User-Agent", ""),
        )


def _aggregated(body: Any) -> Response:
    return Response(json.dumps(body), 200, content_type=discovery.AGGREGATED)


def _body(request: Request) -> Any:
    """The request's object: JSON, YAML or the protobuf envelope; None without a body."""
    request.max_content_length = MAX_BODY_BYTES
    raw = request.get_data(cache=False)
    if not raw:
        return None
    content_type = request.headers.get("Content-Type", "").split(";")[0].strip()
    if content_type == "application/vnd.kubernetes.protobuf":
        return protobuf.decode(raw)
    try:
        return yaml.safe_load(raw) if "yaml" in content_type else json.loads(raw)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the object provided is unrecognized (must be of type Object): {error}") from error
