"""Builds schemas from the official clients' generated models: fields, types, descriptions, required fields.

It parses the sources of Kubernetes' models, which are quicker to read than to import. What KServe's models say is in
``third_party/kserve/models.json``, because the package can't be installed on every version of Python.
``python -m pdk_stack.kubernetes.store.schemas`` makes that file from the package; a test compares them.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdk_stack.third_party import kserve

Schema = dict[str, Any]

KSERVE = Path(kserve.__file__).with_name("models.json")

STRING: Schema = {"type": "string"}
OPEN: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
QUANTITY: Schema = {"x-kubernetes-int-or-string": True}
SIMPLE: dict[str, Schema] = {
    "bool": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "float": {"type": "number"},
    "int": {"type": "integer"},
    "object": OPEN,
    "ResourceQuantity": QUANTITY,
    "str": STRING,
}
# OpenAPI Generator's output, the same in both clients.
TABLE = r"\n    {} = (\{{.*?\}})\n"
REQUIRED = re.compile(r"Invalid value for `(\w+)`, must not be `None`")
DESCRIPTION = re.compile(r'"""Gets the (\w+) of this \w+\.  # noqa: E501\n\n +(?!:)(.+?)  # noqa: E501\n')
NESTED = re.compile(r"(list|dict)[\[(](?:str, )?(.+)[\])]")
# The part of a model's name that stands for the API group and version.
GO_PREFIX = re.compile(r"^[A-Z]?[a-z]*V\d+((alpha|beta)\d+)?")


@dataclass(frozen=True)
class Models:
    """Which models to use, and how to change them.

    Attributes:
        inside: Names of the models to expand; fields of other models accept any value.
        changes: Additions to a field's schema, by model and field; None removes the field.
        required: Required fields by model, where the API differs from the model.
        fields: Schemas that the models' types only hint at, by a field's name and the model's type for it.
        struct: Whether each schema names its Go type (``x-go-type``), which error texts mention.
    """

    inside: Container[str]
    changes: Mapping[str, Mapping[str, Schema | None]]
    required: Mapping[str, tuple[str, ...]]
    fields: Mapping[tuple[str, str], Schema] = field(default_factory=dict)
    struct: bool = False

    def schema(self, model: str, *leave_out: str) -> Schema:
        """Return the schema of a model.

        Args:
            model: Class name, for example ``V1ConfigMap``.
            leave_out: Fields to omit.
        """
        facts = _facts(model)
        types, names, descriptions = facts["types"], facts["names"], facts["descriptions"]
        changes = self.changes.get(model, {})
        properties: Schema = {}
        for attribute, name in names.items():
            change = changes.get(name, {})
            if change is None or name in leave_out:
                continue
            told = {"description": descriptions[attribute]} if attribute in descriptions else {}
            typed = self.fields.get((name, types[attribute])) or self._typed(types[attribute])
            properties[name] = {**typed, **told, **change}
        required = self.required.get(model, facts["required"])
        schema: Schema = {"type": "object", "properties": properties}
        if self.struct:
            schema["x-go-type"] = GO_PREFIX.sub("", model)
        return {**schema, "required": list(required)} if required else schema

    def _typed(self, text: str) -> Schema:
        nested = NESTED.fullmatch(text)
        if nested:
            inner = self._typed(nested[2])
            if nested[1] == "list":
                return {"type": "array", "items": inner}
            return {"type": "object", "additionalProperties": inner}
        return SIMPLE.get(text) or (self.schema(text) if text in self.inside else OPEN)


def facts_of(source: str) -> dict[str, Any]:
    """Return what the source of a model says.

    Returns:
        ``types`` and ``names`` (in JSON) by attribute, ``descriptions`` by attribute, and the ``required`` names.
    """
    types, names = (
        ast.literal_eval(re.search(TABLE.format(name), source, re.S)[1])  # type: ignore[index]
        for name in ("openapi_types", "attribute_map")
    )
    required = sorted({names[each] for each in REQUIRED.findall(source)})
    return {"types": types, "names": names, "descriptions": dict(DESCRIPTION.findall(source)), "required": required}


def of_package(used: Container[str]) -> dict[str, dict[str, Any]]:
    """Return what the models of the installed package ``kserve`` say, by model.

    Args:
        used: Names of the models to read.

    Raises:
        ModuleNotFoundError: The package isn't installed.
    """
    sources = (path.read_text() for path in sorted(_folder("kserve").glob("v1beta1_*.py")))
    named = {re.findall(r"^class (\w+)", source, re.M)[0]: source for source in sources}
    return {name: facts_of(source) for name, source in named.items() if name in used}


def _folder(package: str, *inner: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    return Path(found.origin).parent.joinpath(*inner, "models")


@functools.cache
def _kserve() -> dict[str, dict[str, Any]]:
    return dict(json.loads(KSERVE.read_text()))


@functools.cache
def _facts(model: str) -> dict[str, Any]:
    if model.startswith("V1beta1"):
        return _kserve()[model]
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", model))
    return facts_of((_folder("kubernetes", "client") / f"{words.lower()}.py").read_text())
