"""The layering: imports go downward only, and the embedded stack is a wing of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "pdk_nb"

# Floors from ground to roof; a module may import from its own floor and those below.
FLOORS = (
    {"errors", "names", "checkout", "pairs", "record", "report"},
    {
        "archive",
        "discovery",
        "drawings",
        "labels",
        "live",
        "manifests",
        "pages",
        "photos",
        "plots",
        "runner",
        "settings",
        "source",
        "specs",
        "storage",
        "torchscript",
        "torchserve_config",
    },
    {"cluster", "configure", "images", "mldm", "mlde", "serving"},
    {"chapters", "checks", "doctor", "exercises", "lineage", "stages"},
    {"lab"},
    {"widgets"},
    {"app"},
    {"commands"},
    {"cli"},
)
# A chapter may name the lab that it is given, for its type alone.
TYPE_ONLY = {("chapters", "lab"), ("checks", "lab"), ("exercises", "lab"), ("lineage", "lab"), ("lab", "widgets")}


def imports(path: Path) -> Iterator[str]:
    """Names of the package's modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pdk_nb":
            parts = node.module.split(".")
            yield from ([parts[1]] if len(parts) > 1 else [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "pdk_nb" and len(parts) > 1:
                    yield parts[1]


def top(path: Path) -> str:
    """The module or subpackage of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor_of(name: str) -> int | None:
    return next((number for number, floor in enumerate(FLOORS) if name in floor), None)


def test_only_the_command_line_reaches_the_embedded_stack() -> None:
    users = {top(path) for path in PACKAGE.rglob("*.py") if top(path) != "local" and "local" in imports(path)}
    assert users <= {"commands"}


def test_the_embedded_stack_uses_shared_ground_only() -> None:
    allowed = {"local", "errors", "names", "checkout", "__version__"}
    for path in (PACKAGE / "local").rglob("*.py"):
        assert set(imports(path)) <= allowed, path


def test_imports_go_downward() -> None:
    for path in PACKAGE.rglob("*.py"):
        name = top(path)
        if name in ("local", "__init__"):
            continue
        floor = floor_of(name)
        assert floor is not None, f"{name} has no floor: add it to FLOORS and to docs/architecture.md"
        for other in imports(path):
            above = floor_of(other)
            if above is None or (name, other) in TYPE_ONLY:
                continue
            assert above <= floor, f"{path.name} imports {other}, which lies above it"


def test_nothing_outside_asks_whether_it_runs_locally() -> None:
    for path in PACKAGE.rglob("*.py"):
        if top(path) not in ("local", "commands"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.If) and isinstance(node.test, ast.Name):
                    assert node.test.id not in ("local", "is_local", "embedded"), path
