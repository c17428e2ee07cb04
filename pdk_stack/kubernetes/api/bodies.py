"""Reads the bodies of requests: JSON, YAML, and the protobuf envelope.

Sources: ``k8s.io/apiserver/pkg/endpoints/handlers`` (``transformDecodeError``) and ``sigs.k8s.io/yaml``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import yaml
from yaml.scanner import ScannerError

from pdk_stack.kubernetes.api import protobuf
from pdk_stack.kubernetes.errors import StatusError, bad_request, unsupported_media_type
from pdk_stack.kubernetes.store.decoding import DecodeError, parse, type_name

JSON, YAML = "application/json", "application/yaml"
READ = (JSON, YAML, protobuf.MEDIA_TYPE)
UNREADABLE = "the body of the request was in an unknown format - accepted media types include: "
# Go's name of what every object is read as first.
TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
SHOWN_BYTES = 30
# More values than these come only from aliases of aliases: a body has 3 MiB at most.
MOST_VALUES = 1 << 20
# Where the wheel includes it, the C parser is ten times as fast as the Python one.
YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Body:
    """A request's body.

    Attributes:
        raw: The bytes.
        media_type: The type that the client names, without parameters.
    """

    raw: bytes
    media_type: str

    def shown(self) -> str:
        """Return the start of the body for an error text (``summarizeData``)."""
        if not self.raw:
            return "<empty>"
        part, more = self.raw[:SHOWN_BYTES], " ..." if len(self.raw) > SHOWN_BYTES else ""
        return (part.decode("utf-8", "replace") if part[:1] == b"{" else part.hex()) + more

    def object(self, kind: str) -> dict[str, Any]:
        """Parse an object of a kind.

        Raises:
            StatusError: 415 for another format, 400 for anything but an object.
        """
        media = self.media_type or JSON
        if media not in READ:
            raise unsupported_media_type(UNREADABLE + ", ".join(READ))
        if media == protobuf.MEDIA_TYPE:
            return protobuf.decode(self.raw)
        try:
            value = parse(self.raw) if media == JSON else from_yaml(self.raw)
        except DecodeError as error:
            raise self._unrecognized(kind, str(error)) from error
        if value is None:
            return {}
        if not isinstance(value, dict):
            found = type_name(value)
            raise self._unrecognized(kind, f"json: cannot unmarshal {found} into Go value of type {TYPE_META}")
        for name in ("apiVersion", "kind"):
            if not isinstance(value.get(name), (str, type(None))):
                found = type_name(value[name])
                why = f"json: cannot unmarshal {found} into Go struct field .{name} of type string"
                raise self._unrecognized(kind, why)
        return value

    def _unrecognized(self, kind: str, why: str) -> StatusError:
        text = f"couldn't get version/kind; json parse error: {why} ({self.shown()})"
        return bad_request(f"the object provided is unrecognized (must be of type {kind}): {text}")

    def options(self) -> Any:
        """Parse the options of a deletion; None without a body.

        Raises:
            StatusError: 415 for another format, 400 for a body that cannot be parsed.
        """
        return self.object("DeleteOptions") if self.raw else None

    def patch(self) -> Any:
        """Parse a patch.

        Raises:
            StatusError: 400 for a body that cannot be parsed.
        """
        try:
            return parse(self.raw)
        except DecodeError as error:
            raise bad_request(f"error decoding patch: {error}") from error

    def applied(self) -> dict[str, Any]:
        """Parse the configuration of a server-side apply, which is YAML.

        Raises:
            StatusError: 400 for anything but an object.
        """
        try:
            value = from_yaml(self.raw)
        except DecodeError as error:
            raise bad_request(f"error decoding YAML: {error}") from error
        if not isinstance(value, dict):
            found = type_name(value)
            why = f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            raise bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {why}")
        return value


def from_yaml(raw: bytes) -> Any:
    """Parse YAML to what JSON can hold.

    Raises:
        DecodeError: It isn't YAML, or holds what JSON can't.
    """
    try:
        # Bodies declared as YAML are mostly JSON, which parses a hundred times as fast.
        return parse(raw)
    except DecodeError:
        pass
    try:
        return _Plain().value(yaml.load(raw.decode("utf-8", "replace"), YAML_LOADER))
    except DecodeError:
        raise
    except yaml.MarkedYAMLError as error:
        # Go's parser counts lines from one only in the scanner's errors.
        number = (error.problem_mark.line if error.problem_mark else 0) + isinstance(error, ScannerError)
        line = f"line {number}: " if number else ""
        raise DecodeError(f"error converting YAML to JSON: yaml: {line}{error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DecodeError(f"error converting YAML to JSON: yaml: {error}") from error


class _Plain:
    """Converts what YAML has and JSON lacks: aliases, keys that aren't texts, times, and numbers without end."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def value(self, value: Any) -> Any:
        """Return a value as JSON holds it.

        Raises:
            DecodeError: JSON can't hold it, or aliases multiply it (go-yaml has a similar limit).
        """
        self._left -= 1
        if self._left < 0:
            raise DecodeError("error converting YAML to JSON: yaml: document contains excessive aliasing")
        if isinstance(value, dict):
            return {_key(key): self.value(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, datetime):
            return value.isoformat().replace("+00:00", "Z")
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, (bytes, set)) or (isinstance(value, float) and not math.isfinite(value)):
            raise DecodeError(f"error converting YAML to JSON: yaml: unsupported value {value!r}")
        return value


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
