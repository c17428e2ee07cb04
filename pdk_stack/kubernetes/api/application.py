"""The API on its port: authentication, paths, errors."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from starlette.responses import PlainTextResponse, Response

from pdk_stack.common.errors import BodyTooLarge, TooSlow
from pdk_stack.common.http.exchange import Exchange, endpoint
from pdk_stack.common.http.server import Server
from pdk_stack.common.limits import PORTS
from pdk_stack.common.service import LOOPBACK
from pdk_stack.kubernetes.api import discovery, protobuf
from pdk_stack.kubernetes.api.bodies import Body
from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.api.logs import PodKeeper
from pdk_stack.kubernetes.api.negotiation import negotiate
from pdk_stack.kubernetes.api.pod_proxy import PodMetrics, pod_proxy
from pdk_stack.kubernetes.api.replies import reply
from pdk_stack.kubernetes.api.request_info import RequestInfo, request_info
from pdk_stack.kubernetes.api.resources import Resources
from pdk_stack.kubernetes.api.reviews import REVIEWS, review
from pdk_stack.kubernetes.core.namespaces import Namespaces
from pdk_stack.kubernetes.core.rbac import ANONYMOUS, Action, Authorizer, User, refusal
from pdk_stack.kubernetes.core.tokens import Tokens
from pdk_stack.kubernetes.core.validation.options import check_write
from pdk_stack.kubernetes.core.version import VERSION
from pdk_stack.kubernetes.errors import StatusError, bad_request, internal, no_resource, not_implemented, quoted
from pdk_stack.kubernetes.store.decoding import DecodeError, Strict, decode
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import SERVICE_ACCOUNTS, SERVICES
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.registry import Registry
from pdk_stack.kubernetes.store.schemas import built_in, complete
from pdk_stack.kubernetes.store.workload_kinds import PODS

log = logging.getLogger(__name__)

LIMITS = PORTS["kubernetes.api"]
HEALTH = ("healthz", "livez", "readyz")
#: Paths that need no token (the ClusterRole ``system:public-info-viewer``).
PUBLIC = (*HEALTH, "version")
# How many parts the longest path has that is about an API, not a resource.
DISCOVERY_PARTS = {"api": 2, "apis": 3}
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


class Application:
    """The embedded Kubernetes API.

    Args:
        store: The objects.
        registry: The served kinds.
        tokens: User by bearer token.
        pods: Gives access to the processes behind the pods.
        pod_metrics: Returns what a pod's queue-proxy tells of it.
        namespaces: Ends namespaces.
        accounts: Issues and checks tokens of service accounts.
    """

    def __init__(
        self,
        store: ObjectStore,
        registry: Registry,
        tokens: Mapping[str, User],
        pods: PodKeeper,
        pod_metrics: PodMetrics,
        namespaces: Namespaces,
        accounts: Tokens,
    ) -> None:
        self.registry = registry
        self._store = store
        self._tokens = tokens
        self._accounts = accounts
        self._pod_metrics = pod_metrics
        self._authorizer = Authorizer(store)
        self._resources = Resources(store, registry, pods, namespaces)

    def serve(self, server: Server) -> None:
        """Serve on a port."""
        server.start(endpoint(self.authenticate, self.answer, self.refuse, LIMITS, server.closing))

    def authenticate(self, exchange: Exchange) -> None:
        """Identify the user from the head alone; every path but health and version needs a token.

        Raises:
            StatusError: 401 for a token that isn't valid, 403 without a token.
        """
        scheme, _, token = exchange.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token:
            for known, user in self._tokens.items():
                if hmac.compare_digest(known.encode(), token.encode()):
                    exchange.user = user
                    return
            holder = self._accounts.holder(token)
            if holder is None:
                raise StatusError(401, "Unauthorized", "Unauthorized")
            exchange.user = holder
            return
        exchange.user = ANONYMOUS
        info = request_info(exchange.method, exchange.path, exchange.query)
        if info.verb not in ("get", "head") or exchange.path.strip("/") not in PUBLIC:
            # Refuse it here, before its body takes up memory.
            raise refusal(ANONYMOUS, info.action)

    def answer(self, exchange: Exchange) -> Response:
        """Answer one request.

        Raises:
            StatusError: As the Kubernetes API does.
        """
        self._accounts.check(exchange.user)
        exchange.user = self._impersonated(exchange)
        info = request_info(exchange.method, exchange.path, exchange.query)
        response = self._route(exchange, info)
        log.debug("%s %s?%s %s", exchange.method, exchange.path, exchange.query, response.status_code)
        return response

    @staticmethod
    def refuse(exchange: Exchange, error: Exception) -> Response:
        """Convert an error to its Status object and HTTP status code."""
        if isinstance(error, BodyTooLarge):
            message = f"Request entity too large: limit is {LIMITS.body_bytes}"
            error = StatusError(413, "RequestEntityTooLarge", message, {})
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

    def _route(self, exchange: Exchange, info: RequestInfo) -> Response:
        head = info.parts[0]
        if len(info.parts) > DISCOVERY_PARTS.get(head, len(info.parts)):
            return self._resource(exchange, info)
        if exchange.user is not ANONYMOUS:
            self._authorizer.require(exchange.user, info.action)
        if head in HEALTH:
            return PlainTextResponse("ok")
        if head in ("", "version") and len(info.parts) == 1:
            return reply(VERSION if head else {"paths": discovery.paths(self.registry)})
        if head == "openapi":
            return self._openapi(info.parts)
        if head in ("api", "apis"):
            return self._discovery(exchange, info)
        if head in ("metrics", "logs", "debug", ".well-known", "openid"):
            raise not_implemented(unquote(exchange.path))
        return PlainTextResponse("404 page not found\n", 404)

    def _openapi(self, parts: tuple[str, ...]) -> Response:
        if parts[1:2] == ("v2",):
            raise not_implemented("/openapi/v2; /openapi/v3 is there")
        if parts[1:2] != ("v3",) or len(parts) == 3:
            return PlainTextResponse("404 page not found\n", 404)
        if len(parts) == 2:
            return reply(discovery.openapi_index(self.registry), media_type="text/plain; charset=utf-8")
        group, version = ("", parts[3]) if parts[2] == "api" else (parts[3], "".join(parts[4:5]))
        return reply(discovery.openapi_document(self.registry, group, version))

    def _discovery(self, exchange: Exchange, info: RequestInfo) -> Response:
        if exchange.method not in ("GET", "HEAD"):
            raise StatusError(405, "MethodNotAllowed", "405: Method Not Allowed", {})
        parts = info.parts
        accept = exchange.headers.get("Accept", "")
        aggregated = "as=APIGroupDiscoveryList" in accept
        if len(parts) == 1:
            if aggregated:
                body = discovery.aggregated(self.registry, core=parts[0] == "api")
                return reply(body, media_type=discovery.AGGREGATED)
            if parts[0] == "api":
                addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": exchange.headers.get("Host", "")}]
                return reply({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses})
            return reply(discovery.group_list(self.registry))
        form = negotiate(accept)
        if parts[0] == "apis" and len(parts) == 2:
            group = discovery.api_group(self.registry, parts[1])
            return reply(group, form=form) if group else PlainTextResponse("404 page not found\n", 404)
        name, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
        return reply(discovery.resource_list(self.registry, name, version), form=form)

    # -- resources ----------------------------------------------------------------------------------------------------

    def _resource(self, exchange: Exchange, info: RequestInfo) -> Response:
        if not info.verb:
            raise StatusError(405, "MethodNotAllowed", "405: Method Not Allowed", {})
        self._authorizer.require(exchange.user, info.action)
        # Parse the body only now, so that an unauthorized sender costs nothing.
        body = Body(exchange.body, exchange.headers.get("Content-Type", "").split(";")[0].strip())
        if (info.group, info.resource) in REVIEWS and info.verb == "create":
            return self._review(exchange, info, body)
        if info.group and info.version not in self.registry.groups().get(info.group, {}):
            # Nothing is installed under such a path, so nobody knows how to write a Status.
            return PlainTextResponse("404 page not found\n", 404)
        kind = self.registry.find(info.group, info.version, info.resource)
        if kind is PODS and info.subresource == "proxy":
            return pod_proxy(self._store, self._pod_metrics, exchange.method, info)
        if kind is None or info.rest or "" in info.parts:
            if kind is None and body.media_type == protobuf.MEDIA_TYPE:
                protobuf.decode(body.raw)  # refuses a kind that isn't offered, and names it
            raise no_resource()
        # A custom resource has only the subresources that its definition names.
        if info.subresource in REFUSED_SUBRESOURCES and not kind.custom:
            return self._refused(kind, info)
        if (kind, info.subresource) == (SERVICE_ACCOUNTS, "token"):
            return self._token(exchange, info, body)
        call = ResourceCall(
            verb=info.verb,
            kind=kind,
            namespace=(info.namespace or None) if kind.namespaced else None,
            name=info.name,
            subresource=info.subresource,
            query=info.query,
            body=body,
            accept=exchange.headers.get("Accept", ""),
            user_agent=exchange.headers.get("User-Agent", ""),
            user=exchange.user,
            gone=exchange.gone,
        )
        return self._resources.handle(call)

    def _refused(self, kind: Kind, info: RequestInfo) -> Response:
        """Refuse a subresource of an object that exists; of one that doesn't, with the real API's words.

        Raises:
            StatusError: 404 or 501; 503 for the proxy of a service behind which nothing listens.
        """
        proxied = kind is SERVICES and info.subresource == "proxy"
        # ``[<scheme>:]<name>[:<port>]``
        name = info.name.split(":")[info.name.count(":") // 2] if proxied else info.name
        obj = self._store.get(kind, info.namespace if kind.namespaced else None, name)
        if proxied and obj["spec"].get("clusterIP") != LOOPBACK:
            raise StatusError(503, "ServiceUnavailable", f"no endpoints available for service {quoted(info.name)}")
        raise not_implemented(f"{kind.plural}/{info.subresource} ({info.verb} {info.path})")

    def _review(self, exchange: Exchange, info: RequestInfo, body: Body) -> Response:
        kind = REVIEWS[(info.group, info.resource)]
        given = body.object(kind)
        given.setdefault("kind", kind)
        given.setdefault("apiVersion", f"{info.group}/{info.version}")
        if (given["kind"], given["apiVersion"]) != (kind, f"{info.group}/{info.version}"):
            raise bad_request(f"{given['kind']} in version {given['apiVersion']!r} cannot be handled as a {kind}")
        request = _typed(kind, given)
        check_write(info.query, "Create")
        return reply(review(self._authorizer, exchange.user, info, request, _manager(exchange)), 201)

    def _token(self, exchange: Exchange, info: RequestInfo, body: Body) -> Response:
        if info.verb != "create":
            raise StatusError(405, "MethodNotAllowed", "405: Method Not Allowed", {})
        given = body.object("TokenRequest")
        given.setdefault("kind", "TokenRequest")
        given.setdefault("apiVersion", "authentication.k8s.io/v1")
        request = _typed("TokenRequest", given, "AuthenticationV1TokenRequest")
        answer = self._accounts.issue(info.namespace, info.name, request, _manager(exchange))
        return reply(answer, 201)


def _manager(exchange: Exchange) -> str:
    """Return the calling program's name, for ``managedFields``."""
    return exchange.headers.get("User-Agent", "").partition("/")[0] or "unknown"


def _typed(kind: str, given: dict[str, Any], model: str = "") -> dict[str, Any]:
    """Read a request that is no stored object by its types.

    Raises:
        StatusError: 400 for a value of the wrong type.
    """
    try:
        return decode(complete(built_in(model or f"V1{kind}")), given, Strict())
    except DecodeError as error:
        raise bad_request(f'{kind} in version "v1" cannot be handled as a {kind}: {error}') from error
