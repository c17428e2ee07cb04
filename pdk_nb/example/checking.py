"""Whether a contract has the right form: the JSON schema, in words for people."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_shared.errors import SpecError

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

__all__ = ["check", "schema"]

DOCS = "docs/examples.md describes the fields."
# What the schema's patterns mean.
PATTERNS = {
    "resource": "isn't a name of lowercase letters, digits, and single '-', starting with a letter",
    "path": "isn't a path inside the example's folder",
}


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON schema of ``example.yaml``."""
    return dict(json.loads(Path(__file__).with_name("schema.json").read_text(encoding="utf-8")))


def check(content: Any, where: str) -> None:
    """Refuse a contract that hasn't the right form.

    Args:
        content: What ``example.yaml`` holds.
        where: The file, for the message.

    Raises:
        SpecError: Names the field, what is wrong with it, and what is right.
    """
    from jsonschema import Draft202012Validator

    problems = sorted(Draft202012Validator(schema()).iter_errors(content), key=lambda each: list(map(str, each.path)))
    if problems:
        said = [_said(each) for each in problems]
        fixes = dict.fromkeys(fix for _, fix in said if fix)
        raise SpecError(" ".join(text for text, _ in said[:3]), where=where, fix=" ".join([*fixes, DOCS]))


def _said(problem: ValidationError) -> tuple[str, str]:
    """A problem as a sentence, and its fix."""
    field = ".".join(map(str, problem.absolute_path)) or "The contract"
    kind, wanted = str(problem.validator), problem.validator_value
    if kind == "additionalProperties" and isinstance(wanted, bool):
        properties = list(problem.schema["properties"])
        unknown = sorted(set(problem.instance) - set(properties))
        place = f"{field}: there" if problem.absolute_path else "There"
        return f"{place} is no field '{unknown[0]}'.", _nearest(unknown[0], properties)
    if kind == "required":
        missing = [name for name in wanted if name not in problem.instance]
        meaning = _meaning(problem.schema, missing[0])
        return f"{field} lacks the field '{missing[0]}'.", meaning
    if kind == "enum":
        return f"{field} is '{problem.instance}'.", f"Use one of: {', '.join(map(str, wanted))}."
    if kind == "type":
        return f"{field} is {_kind(problem.instance)}, not {_with_article(str(wanted))}.", ""
    if kind in ("pattern", "not"):
        rule = next((text for name, text in PATTERNS.items() if schema()["$defs"][name] == problem.schema), "")
        return f"{field}: '{problem.instance}' {rule or f'does not match {wanted}'}.", ""
    return f"{field}: {problem.message}.", ""


def _nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(word, known, 1)
    return f"Did you mean '{near[0]}'?" if near else f"Use one of: {', '.join(known)}."


def _meaning(part: Mapping[str, Any], name: str) -> str:
    text = part["properties"][name].get("description", "")
    return f"{name}: {text}" if text else ""


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    names = {"bool": "boolean", "int": "number", "float": "number", "str": "string", "list": "array", "dict": "object"}
    return _with_article(names.get(type(value).__name__, type(value).__name__))


def _with_article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "ao" else f"a {kind}"
