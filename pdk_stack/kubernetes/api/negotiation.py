"""Chooses the format of an answer by the client's ``Accept`` header.

Source: ``k8s.io/apiserver/pkg/endpoints/handlers/negotiation``.
"""

from __future__ import annotations

from dataclasses import dataclass

from pdk_stack.kubernetes.errors import StatusError, not_acceptable, not_implemented

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
OFFERED = (JSON, YAML, PROTOBUF)
ONLY = "only the following media types are accepted: " + ", ".join(OFFERED)
META_VERSIONS = ("v1", "v1beta1")
FORMS = ("PartialObjectMetadata", "PartialObjectMetadataList", "Table")
BROWSERS = ("curl", "Wget", "Mozilla/5.0")


@dataclass(frozen=True)
class Format:
    """The format of an answer.

    Attributes:
        media_type: ``application/json`` or ``application/yaml``.
        form: What the object is shown as: ``Table``, ``PartialObjectMetadata``, a list of those, or empty for itself.
        version: The form's version in ``meta.k8s.io``.
        pretty: Whether JSON is indented.
    """

    media_type: str = JSON
    form: str = ""
    version: str = "v1"
    pretty: bool = False

    @property
    def api_version(self) -> str:
        """The form's ``apiVersion``."""
        return f"meta.k8s.io/{self.version}"


def _clauses(accept: str) -> list[tuple[str, dict[str, str]]]:
    """Return the header's media types with their parameters, the preferred ones first."""
    found = []
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        given = dict(part.partition("=")[::2] for part in parameters)
        try:
            quality = float(given.pop("q", "1"))
        except ValueError:
            quality = 0.0
        found.append((quality, media, given))
    # A sort keeps the order of equals, as goautoneg does.
    return [(media, given) for quality, media, given in sorted(found, key=lambda each: -each[0])]


def negotiate(accept: str, *, user_agent: str = "", pretty: str = "", streams: bool = False) -> Format:
    """Choose the format of an answer.

    Args:
        accept: The ``Accept`` header; empty for JSON.
        user_agent: The ``User-Agent`` header: programs of people get indented JSON.
        pretty: The query's ``pretty``.
        streams: Whether the resource can be watched, which only an error text tells.

    Raises:
        StatusError: 406 when no format fits, 501 when only protobuf does.
    """
    indented = pretty.lower() not in ("0", "f", "false") if pretty else user_agent.startswith(BROWSERS)
    only_protobuf = False
    known = False
    for media, given in _clauses(accept or JSON):
        offered = next((each for each in OFFERED if media in (each, "*/*", each.partition("/")[0] + "/*")), "")
        if not offered:
            continue
        known = True
        if offered == PROTOBUF:
            only_protobuf = True
            continue
        form = given.get("as", "")
        if form or "g" in given or "v" in given:
            fits = form in FORMS and given.get("g") == "meta.k8s.io" and given.get("v") in META_VERSIONS
            if not fits:
                continue
        return Format(offered, form, given.get("v", "v1"), indented or given.get("pretty") == "1")
    if only_protobuf:
        raise not_implemented(f"answers in protobuf ({PROTOBUF}); JSON and YAML are offered")
    raise not_acceptable(ONLY) if known else unknown_format(streams=streams)


def unknown_format(*, streams: bool) -> StatusError:
    """Make the error for an ``Accept`` header without any media type of the API, in the router's words.

    Args:
        streams: Whether the resource can be watched.
    """
    offered = list(OFFERED) + ([f"{JSON};stream=watch", f"{PROTOBUF};stream=watch"] if streams else [])
    message = "406: Not Acceptable\n\nAvailable representations: " + ", ".join(offered)
    return StatusError(406, "NotAcceptable", message, {})
