"""The calls of Determined's gateway and the types of their values, read from the client's own bindings.

The bindings are generated from the release's protobuf, so they say which calls exist, and the type of each field, query
parameter, and path value. This module reads their text instead of importing them: the import costs a second and loads
the client's HTTP stack, and the text of a generated file is as regular as a table.

The bindings show JSON types. What protobuf distinguishes beyond that stands in three small tables below
(``proto/src/determined`` of release 0.38.1).
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Call", "Enum", "List", "Map", "Type", "calls", "fields_of"]


@dataclass(frozen=True, eq=False)
class Enum:
    """An enumeration: its numbers by name.

    Attributes:
        full_name: The protobuf name, such as ``determined.api.v1.OrderBy``.
    """

    full_name: str
    numbers: Mapping[str, int]

    @property
    def go_name(self) -> str:
        """The name in Go, such as ``apiv1.OrderBy``."""
        package, _, name = self.full_name.removeprefix("determined.").partition(".v1.")
        return f"{package}v1.{name.replace('.', '_')}"


@dataclass(frozen=True)
class List:
    """A repeated field."""

    of: Type


@dataclass(frozen=True)
class Map:
    """A map from text to values."""

    of: Type


#: A scalar or well-known type by its protobuf name, or another message by its name in the bindings.
Type = str | Enum | List | Map


@dataclass(frozen=True, eq=False)
class Call:
    """One call of the gateway.

    Attributes:
        operation: The RPC, such as ``GetExperiment``.
        path: The path as in the bindings, such as ``/api/v1/experiments/{experimentId}``.
        body: The type of the body; None when the call reads none.
        query: Types of the query parameters by name.
        values: Types of the path's values by their name in the path.
        streams: Whether the answer is a stream of JSON lines.
    """

    method: str
    path: str
    operation: str
    body: Type | None
    query: Mapping[str, Type] = field(default_factory=dict)
    values: Mapping[str, Type] = field(default_factory=dict)
    streams: bool = False


# -- what the bindings don't show --------------------------------------------------------------------------------------

_SCALARS = {"str": "string", "int": "int32", "bool": "bool", "float": "double", "typing.Any": "Value"}
#: Fields whose protobuf type is more than their JSON type, by message and field, or by operation and parameter.
_NARROWER: dict[str, Type] = {
    "v1File.content": "bytes",
    "v1File.mtime": "int64",
    "v1LaunchCommandRequest.data": "bytes",
    "v1LaunchShellRequest.data": "bytes",
    "v1PreviewHPSearchRequest.seed": "uint32",
    "v1QueueControl.weight": "float",
    "v1PatchMasterConfigRequest.fieldMask": "string",
    "v1Checkpoint.resources": Map("int64"),
    "PatchCheckpointOptionalResources.resources": Map("int64"),
    "v1PatchExperiment.labels": "ListValue",
    "v1PatchModel.labels": "ListValue",
    "v1PatchModelVersion.labels": "ListValue",
    "v1TrialProfilerMetricsBatch.timestamps": List("Timestamp"),
    "v1TrialProfilerMetricsBatch.values": List("float"),
    **dict.fromkeys(
        (
            *("v1Checkpoint.reportTime", "v1TaskLog.timestamp", "v1TrialMetrics.reportTime"),
            *("v1SetClusterMessageRequest.startTime", "v1SetClusterMessageRequest.endTime"),
            *("v1User.lastAuthAt", "v1User.modifiedAt"),
            *(f"{operation}.timestamp{end}" for operation in ("TaskLogs", "TrialLogs") for end in ("After", "Before")),
            *("ResourceAllocationRaw.timestampAfter", "ResourceAllocationRaw.timestampBefore"),
            *(f"CompareTrials.timeSeriesFilter.timeRange.{each}" for each in ("gt", "gte", "lt", "lte")),
        ),
        "Timestamp",
    ),
    **dict.fromkeys(
        (
            *("GetExperiments.archived", "GetModels.archived", "GetWorkspaceProjects.archived"),
            *("GetWorkspaces.archived", "GetWorkspaces.pinned"),
        ),
        "BoolValue",
    ),
}
#: Packages of enumerations whose name doesn't show it: all others are of ``determined.api.v1``.
_PACKAGES = {
    "TrialProfilerMetricLabelsProfilerMetricType": "trial",
    "v1ActivityType": "user",
    "v1EntityType": "user",
    "v1LogLevel": "log",
    "v1PermissionType": "rbac",
    "v1ResourceAllocationAggregationPeriod": "master",
    "v1TrialEarlyExitExitedReason": "trial",
    "v1TrialSourceInfoType": "trial",
    "v1TriggerType": "webhook",
    "v1WebhookMode": "webhook",
    "v1WebhookType": "webhook",
}
#: Numbers that an enumeration leaves out; without an entry it counts from 0.
_UNUSED_NUMBERS = {
    "v1GetExperimentTrialsRequestSortBy": {2, 3},
    "v1GetExperimentsRequestSortBy": {3, 7},
    "v1GetModelVersionsRequestSortBy": {1, 2},
    "v1GetModelsRequestSortBy": {3},
    "v1GetTensorboardsRequestSortBy": {3},
    "v1TrialEarlyExitExitedReason": {2},
}


# -- reading the bindings ----------------------------------------------------------------------------------------------

_FUNCTION = re.compile(
    r"^def \w+?_(\w+)\(\n(.*?)^\) -> \"?([^\"\n]+?)\"?:\n(.*?)(?=^def |\Z)", re.MULTILINE | re.DOTALL
)
_ARGUMENT = re.compile(r"^    (\w+): \"?([^\"\n]+?)\"?(?: = None)?,$", re.MULTILINE)
_PARAMETER = re.compile(
    r"^        \"([\w.]+)\": (?:str\(|dump_float\(|\[(?:x\.value|dump_float\(x\)|str\(x\)\.lower\(\)) for x in )?(\w+)",
    re.MULTILINE,
)
_REQUEST = re.compile(r"method=\"(\w+)\",\s*path=f?\"([^\"]+)\"")
_CLASS = re.compile(r"^class (\w+)\((DetEnum|Printable)\):\n(.*?)(?=^class |^def |\Z)", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^        (\w+): \"?([^\"\n]+?)\"?(?: = _unset)?,$", re.MULTILINE)
_VALUE = re.compile(r"^    \w+ = \"(\w+)\"$", re.MULTILINE)


@functools.cache
def _text() -> str:
    package = importlib.util.find_spec("determined")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the client of Determined is not installed")
    return Path(package.origin).with_name("common").joinpath("api", "bindings.py").read_text()


@functools.cache
def _classes() -> dict[str, tuple[str, str]]:
    """Return each class's kind and text by its name."""
    return {name: (kind, text) for name, kind, text in _CLASS.findall(_text())}


@functools.cache
def calls() -> tuple[Call, ...]:
    """Return all calls in the client's bindings."""
    found = []
    for operation, head, reply, text in _FUNCTION.findall(_text()):
        request = _REQUEST.search(text)
        if request is None:
            continue
        arguments = dict(_ARGUMENT.findall(head))
        names = set(re.findall(r"\{(\w+)\}", request[2]))
        parameters = text.partition("_params = {")[2].partition("\n    }")[0]

        def typed(name: str, argument: str, operation: str = operation, known: dict[str, str] = arguments) -> Type:
            return _NARROWER.get(f"{operation}.{name}") or _named_after(operation, _type(known[argument]))

        found.append(
            Call(
                method=request[1],
                path=request[2],
                operation=operation,
                body=typed("body", "body") if "body" in arguments else None,
                query={name: typed(name, argument) for name, argument in _PARAMETER.findall(parameters)},
                values={name: typed(name, name) for name in names},
                streams=reply.startswith("typing.Iterable["),
            )
        )
    return tuple(found)


@functools.cache
def _type(expression: str) -> Type:
    """Return the type that an annotation of the bindings stands for."""
    if match := re.fullmatch(r"typing\.(?:Optional\[(.*)|Union\[(.*), None, Unset)\]", expression):
        return _type(match[1] or match[2])
    if expression == "typing.Dict[str, typing.Any]":
        return "Struct"
    if expression == "typing.Sequence[typing.Any]":
        return "ListValue"
    if match := re.fullmatch(r"typing\.Sequence\[(.*)\]", expression):
        return List(_type(match[1]))
    if match := re.fullmatch(r"typing\.Dict\[str, (.*)\]", expression):
        return Map(_type(match[1]))
    if expression in _SCALARS:
        return _SCALARS[expression]
    return _enum(expression) if _classes()[expression][0] == "DetEnum" else expression


def _enum(name: str) -> Enum:
    values = _VALUE.findall(_classes()[name][1])
    unused = _UNUSED_NUMBERS.get(name, set())
    numbers = (number for number in itertools.count() if number not in unused)
    package, short = re.fullmatch(r"(?:([a-z]*)v1)?(\w+)", name).groups()  # type: ignore[union-attr]
    package = _PACKAGES.get(name) or package or "api"
    # An enumeration that belongs to one message is declared inside it.
    short = re.sub(r"^(\w+Request|TrialEarlyExit|TrialProfilerMetricLabels)(?=[A-Z])", r"\1.", short)
    return Enum(f"determined.{package}.v1.{short}", dict(zip(values, numbers, strict=False)))


def _named_after(operation: str, kind: Type) -> Type:
    """Name a request's own enumeration; the bindings give equal ones the name of one of them."""
    if isinstance(kind, List):
        return List(_named_after(operation, kind.of))
    if isinstance(kind, Enum) and "Request." in kind.full_name:
        return Enum(f"determined.api.v1.{operation}Request.{kind.full_name.rpartition('.')[2]}", kind.numbers)
    return kind


@functools.cache
def fields_of(message: str) -> dict[str, Type]:
    """Return a message's fields by their JSON name."""
    head = _classes()[message][1].partition("def __init__")[2].partition("\n    ):")[0]
    return {name: _NARROWER.get(f"{message}.{name}") or _type(text) for name, text in _FIELD.findall(head)}
