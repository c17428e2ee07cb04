"""The API on its port: authentication, paths, errors."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote

import yaml
from starlette.responses import PlainTextResponse, Response

from pdk_stack.common.errors import BodyTooLarge, TooSlow
from pdk_stack.common.http.exchange import Exchange, endpoint
from pdk_stack.common.http.server import Server
from pdk_stack.common.limits import PORTS
from pdk_stack.kubernetes.api import discovery, protobuf
from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.api.logs import PodKeeper
from pdk_stack.kubernetes.api.replies import reply
from pdk_stack.kubernetes.api.resources import Resources
from pdk_stack.kubernetes.api.reviews import review
from pdk_stack.kubernetes.core.rbac import Action, Authorizer, User
from pdk_stack.kubernetes.core.version import VERSION
from pdk_stack.kubernetes.errors import StatusError, bad_request, internal, no_resource, not_implemented
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.registry import Registry

log = logging.getLogger(__name__)

LIMITS = PORTS["kubernetes.api"]
HEALTH = ("healthz", "livez", "readyz")
# Subresources that Kubernetes has and the embedded API lacks, by the last path segment.
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
# Where the wheel includes it, the C parser is ten times as fast as the Python one.
YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Application:
    """The embedded Kubernetes API.

    Args:
        store: The objects.
        registry: The served kinds.
        tokens: User by bearer token.
        pods: Gives access to the processes behind the pods.
    """

    def __init__(self, store: ObjectStore, registry: Registry, tokens: Mapping[str, User], pods: PodKeeper) -> None:
        self.registry = registry
        self._tokens = tokens
        self._authorizer = Authorizer(store)
        self._resources = Resources(store, registry, pods)

    def serve(self, server: Server) -> None:
        """Serve on a port."""
        server.start(endpoint(self.authenticate, self.answer, self.refuse, LIMITS, server.closing))

    def authenticate(self, exchange: Exchange) -> None:
        """Identify the user from the head alone; every path except the health checks needs a token.

        Raises:
            StatusError: 401 without a valid token.
        """
        if exchange.path.strip("/") in HEALTH:
            exchange.user = User("system:anonymous")
            return
        scheme, _, token = exchange.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            for known, user in self._tokens.items():
                if hmac.compare_digest(known.encode(), token.strip().encode()):
                    exchange.user = user
                    return
        raise StatusError(401, "Unauthorized", "Unauthorized")

    def answer(self, exchange: Exchange) -> Response:
        """Answer one request.

        Raises:
            StatusError: As the Kubernetes API does.
        """
        exchange.user = self._impersonated(exchange)
        response = self._route(exchange, [unquote(part) for part in exchange.path.split("/") if part])
        log.debug("%s %s?%s %s", exchange.method, exchange.path, exchange.query, response.status_code)
        return response

    @staticmethod
    def refuse(exchange: Exchange, error: Exception) -> Response:
        """Convert an error to its Status object and HTTP status code."""
        if isinstance(error, BodyTooLarge):
            error = StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {error.message}")
        elif isinstance(error, TooSlow):
            error = StatusError(504, "Timeout", f"Timeout: {error.message}")
        elif not isinstance(error, StatusError):  # the client always needs an answer; the log has the cause
            log.error("%s %s failed", exchange.method, exchange.path, exc_info=error)
            error = internal(error)
        log.debug("%s %s?%s %s", exchange.method, exchange.path, exchange.query, error.http_status)
        return reply(error.status(), error.http_status)

    def _impersonated(self, exchange: Exchange) -> User:
        """Return the user that the call impersonates, or the caller.

        Raises:
            StatusError: 403 for an impersonation that is not allowed.
        """
        user: User = exchange.user
        wanted = exchange.headers.get("Impersonate-User")
        if not wanted:
            return user
        self._authorizer.require(user, Action("impersonate", "", "users", name=wanted))
        return User.named(wanted, tuple(exchange.headers.getlist("Impersonate-Group")))

    def _route(self, exchange: Exchange, parts: list[str]) -> Response:
        if not parts:
            return reply({"paths": discovery.PATHS})
        head = parts[0]
        if head in HEALTH:
            return PlainTextResponse("ok")
        if head == "version":
            return reply(VERSION)
        if head == "openapi":
            return self._openapi(parts)
        if head in ("api", "apis"):
            return self._api(exchange, parts)
        raise no_resource(f"{exchange.method} {unquote(exchange.path)}")

    def _openapi(self, parts: list[str]) -> Response:
        if parts[1:2] != ["v3"]:
            raise no_resource("/" + "/".join(parts))
        if len(parts) == 2:
            return reply(discovery.openapi_index(self.registry))
        group, version = ("", parts[3]) if parts[2] == "api" else (parts[3], parts[4])
        return reply(discovery.openapi_document(self.registry, group, version))

    def _api(self, exchange: Exchange, parts: list[str]) -> Response:
        aggregated = "as=APIGroupDiscoveryList" in exchange.headers.get("Accept", "")
        if parts == ["api"]:
            if aggregated:
                return reply(discovery.aggregated(self.registry, core=True), media_type=discovery.AGGREGATED)
            return reply({"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"]})
        if parts == ["apis"]:
            if aggregated:
                return reply(discovery.aggregated(self.registry, core=False), media_type=discovery.AGGREGATED)
            return reply(discovery.group_list(self.registry))
        if parts[0] == "api":
            group, version, rest = "", parts[1], parts[2:]
        else:
            if len(parts) == 2:
                return reply(discovery.api_group(self.registry, parts[1]))
            group, version, rest = parts[1], parts[2], parts[3:]
        if not rest:
            return reply(discovery.resource_list(self.registry, group, version))
        if exchange.method == "POST" and group in ("authorization.k8s.io", "authentication.k8s.io"):
            return reply(review(self._authorizer, exchange.user, rest[0], _object(exchange)), 201)
        call = self._call(exchange, group, version, rest)
        resource = f"{call.kind.plural}/{call.subresource}" if call.subresource else call.kind.plural
        self._authorizer.require(exchange.user, Action(call.verb, group, resource, call.namespace or "", call.name))
        # Parse the body only now, so that an unauthorized sender costs nothing.
        return self._resources.handle(replace(call, body=_object(exchange)))

    def _call(self, exchange: Exchange, group: str, version: str, rest: list[str]) -> ResourceCall:
        query = dict(parse_qsl(exchange.query, keep_blank_values=True))
        if rest[0] == "watch":
            query["watch"], rest = "true", rest[1:]
        namespace = None
        # namespaces/<name>[/status] is the namespace itself; namespaces/<name>/<plural> is inside it.
        inside = len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize")
        if inside:
            namespace, rest = rest[1], rest[2:]
        kind = self.registry.find(group, version, rest[0]) if rest else None
        named = f"{exchange.method} {unquote(exchange.path)}"
        if kind is None:
            if _media_type(exchange) == protobuf.MEDIA_TYPE:
                protobuf.decode(exchange.body)  # refuses a kind that isn't offered, and names it
            raise no_resource(named)
        subresource = rest[2] if len(rest) > 2 else ""
        if subresource in REFUSED_SUBRESOURCES:
            raise not_implemented(f"{kind.plural}/{subresource} ({named})")
        return ResourceCall(
            method=exchange.method,
            kind=kind,
            namespace=namespace if kind.namespaced else None,
            name=rest[1] if len(rest) > 1 else "",
            subresource=subresource,
            query=query,
            body=None,
            accept=exchange.headers.get("Accept", ""),
            content_type=_media_type(exchange),
            user_agent=exchange.headers.get("User-Agent", ""),
            gone=exchange.gone,
        )


def _media_type(exchange: Exchange) -> str:
    return exchange.headers.get("Content-Type", "").split(";")[0].strip()


def _object(exchange: Exchange) -> Any:
    """Parse the request's object from JSON, YAML, or the protobuf envelope; None without a body."""
    raw, media_type = exchange.body, _media_type(exchange)
    if not raw:
        return None
    if media_type == protobuf.MEDIA_TYPE:
        return protobuf.decode(raw)
    try:
        try:
            # Bodies declared as YAML are mostly JSON, which parses a hundred times as fast.
            return json.loads(raw)
        except ValueError:
            if "yaml" not in media_type:
                raise
            return yaml.load(raw, YAML_LOADER)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the object provided is unrecognized (must be of type Object): {error}") from error
