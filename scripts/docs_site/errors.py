"""The reference of error messages, from the places in the code that raise them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("pdk_shared", "pdk_nb", "pdk_stack")
BASE = "PdkError"
# A message that is mostly someone else's text says nothing that a person could look up.
LEAST_WORDS = 3


@dataclass(frozen=True, order=True)
class Message:
    """An error message as the code writes it.

    Attributes:
        what: What happened; values are in angle brackets.
        fix: What to do next; empty when the message says enough.
        kind: Class of the error.
        module: Where it's raised.
    """

    what: str
    fix: str
    kind: str
    module: str


def _trees(root: Path) -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            yield ".".join(path.relative_to(root).with_suffix("").parts), ast.parse(path.read_text())


def classes(root: Path) -> dict[str, str]:
    """The error classes for people: each with the first line of its docstring."""
    bases: dict[str, list[str]] = {}
    said: dict[str, str] = {}
    for _, tree in _trees(root):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
                said[node.name] = (ast.get_docstring(node) or "").partition("\n")[0]
    found = {BASE}
    while more := {name for name, above in bases.items() if name not in found and found & set(above)}:
        found |= more
    return {name: said[name] for name in sorted(found)}


def _name(node: ast.expr) -> str:
    """A short name for a value in a message."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return _name(node.value) if node.attr in ("name", "root", "strerror", "reason") else node.attr
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    if isinstance(node, ast.Call):
        return _name(node.args[-1]) if node.args else _name(node.func)
    if isinstance(node, (ast.BoolOp, ast.IfExp)):
        return _name(node.values[0] if isinstance(node, ast.BoolOp) else node.body)
    return "value"


def template(node: ast.expr | None) -> str:
    """A message with its values as names in angle brackets; empty when the code doesn't write it out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                inner = template(part.value)
                parts.append(inner or f"<{_name(part.value).strip('_').lower()}>")
            else:
                parts.append(template(part))
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = template(node.left), template(node.right)
        return f"{left or f'<{_name(node.left)}>'}{right or f'<{_name(node.right)}>'}" if left or right else ""
    return ""


def messages(root: Path) -> list[Message]:
    """The messages that the code writes out, each once."""
    known = classes(root)
    found: dict[tuple[str, str], Message] = {}
    for module, tree in _trees(root):
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            kind = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if kind not in known:
                continue
            what = " ".join(template(node.args[0]).split())
            if len(re.sub(r"<[^>]*>", "", what).split()) < LEAST_WORDS:
                continue
            fix = next((template(each.value) for each in node.keywords if each.arg == "fix"), "")
            found.setdefault((what, fix), Message(what, " ".join(fix.split()), kind, module))
    return sorted(found.values(), key=lambda each: re.sub(r"^\W+", "", each.what).lower())


def _code(text: str) -> str:
    """A text as it's printed; backquotes inside it stay."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def page(root: Path) -> str:
    """The page, as Markdown."""
    known = classes(root)
    lines = [
        "# Error messages",
        "",
        "Every error has the same three lines: what happened, where, and what to do next. This page lists the messages",
        "that the lab and the embedded stack write themselves. A name in angle brackets stands for a value. Messages",
        "of the platforms' own protocols aren't listed: they're those of Pachyderm, Determined, and Kubernetes.",
        "",
    ]
    by_kind: dict[str, list[Message]] = {}
    for each in messages(root):
        by_kind.setdefault(each.kind, []).append(each)
    for kind in sorted(by_kind):
        lines += [f"## {kind}", "", known[kind], ""]
        for each in by_kind[kind]:
            if each.fix:
                lines += [f"{_code(each.what)}", f": What to do: {_code(each.fix)}", ""]
        silent = [each for each in by_kind[kind] if not each.fix]
        if silent:
            lines += ["Messages that need no advice:", "", *(f"- {_code(each.what)}" for each in silent), ""]
    return "\n".join(lines)
