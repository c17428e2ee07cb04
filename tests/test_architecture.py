"""The architecture: every module has a floor, imports go downward, nothing goes in circles, and each mechanism is
written once. It covers the lab, the embedded stack and what they share; ``docs/architecture.md`` draws it.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pdk_shared", "pdk_nb", "pdk_stack")
SERVICES = ("pachyderm", "determined", "kubernetes")

# The lab, from ground to roof: a module may import from its own floor and from those below.
LAB_FLOORS = (
    {
        *("arguments", "counting", "display", "example", "headless", "labels", "loopback", "names", "photos"),
        *("settings", "trial_data", "trial_log"),
    },
    {"configure", "container_images", "packaging", "picture_sources", "platforms", "session", "specs"},
    {"journey"},
    {
        *("cluster_install", "doctor", "drift", "evaluation", "feedback", "lessons", "participants", "stages", "tasks"),
        *("candidate_deployment", "hyperparameter_search", "standalone_experiment", "version_comparison"),
    },
    {"console", "lab", "panel"},
    {"app", "pachyderm_workbench", "run", "workbench"},
    {"commands"},
    {"cli"},
)
# One service of the stack, from ground to roof. All three have these parts and no others.
SERVICE_FLOORS = (
    {"errors", "names", "timestamps"},
    {"store"},
    {"core"},
    {"api"},
    {"coverage", "service"},
    {"__main__"},
)
ANATOMY = {"errors", "store", "core", "api", "coverage", "service", "__main__"}
# The stack as a whole.
STACK_FLOORS = (
    {"common", "third_party"},
    set(SERVICES),
    {"services", "paths"},
    {"credentials", "seed", "client_files", "ports", "state_lock", "service_process"},
    {"supervisor"},
    {"stack"},
    {"commands", "pytest_plugin"},
)

# Where a mechanism may stand beside the one place that it is written in, and why.
MECHANISMS: dict[str, tuple[set[str], dict[str, str]]] = {
    "a database transaction (sqlite3.connect)": ({"pdk_stack.common.database"}, {}),
    "a process group (start_new_session, killpg)": ({"pdk_stack.common.processes"}, {}),
    "an HTTP listener (uvicorn, cheroot, http.server)": (
        {"pdk_stack.common.http.server"},
        {"pdk_nb.console.server": "the lab's own page on the loopback address; the lab never imports the stack"},
    ),
    "a listening socket (listen, create_server)": (
        {"pdk_stack.common.http.server"},
        {
            "pdk_nb.console.server": "the lab's own page, open before its address is announced",
            "pdk_stack.pachyderm.core.pps.forward": "passes on bytes of any protocol to a service's own port; no HTTP",
            "pdk_stack.common.peers": "connects to itself once, to learn whether the system tells whose a socket is",
        },
    ),
    "a poll loop (time.sleep)": ({"pdk_stack.common.polling", "pdk_nb.platforms.waiting"}, {}),
}


# Other projects' files, unchanged: a test compares them with their package.
FOREIGN = {"pdk_stack.third_party.kserve.storage.storage", "pdk_stack.third_party.kserve.v2_datamodels"}


@functools.cache
def modules() -> dict[str, Path]:
    """Every module by its dotted name; packages by their own."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if ".".join(parts) in FOREIGN:
                continue
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text())


@functools.cache
def imports(name: str) -> frozenset[str]:
    """The modules of ours that a module imports, wherever in it, for types alone too."""
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(filter(None, map(known, found))) - {name}


def known(dotted: str) -> str:
    """The module that a dotted name lies in; empty when it is none of ours."""
    while dotted and dotted not in modules():
        dotted = dotted.rpartition(".")[0]
    return dotted


def part(name: str, depth: int) -> str:
    parts = name.split(".")
    return parts[depth] if len(parts) > depth else ""


def floor(floors: tuple[set[str], ...], name: str) -> int:
    for number, each in enumerate(floors):
        if name in each:
            return number
    raise AssertionError(f"{name} has no floor: give it one here and in docs/architecture.md")


def circles() -> Iterator[list[str]]:
    """Groups of modules that import each other in a circle (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> Iterator[list[str]]:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(imports(name)):
            # A package's own __init__ is loaded before its modules and holds no code that needs them.
            if other not in index:
                yield from visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = []
            while (last := stack.pop()) != name:
                group.append(last)
            if group:
                yield sorted([*group, name])

    for name in sorted(modules()):
        if name not in index:
            yield from visit(name)


def test_nothing_goes_in_circles() -> None:
    assert list(circles()) == []


def test_lab_and_stack_do_not_know_each_other() -> None:
    wrong = [
        f"{name} imports {other}"
        for name in modules()
        for other in imports(name)
        if part(other, 0) not in (part(name, 0), "pdk_shared")
    ]
    assert wrong == []


def upward(package: str, floors: tuple[set[str], ...], depth: int) -> list[str]:
    """Imports within a package that go up, as sentences."""
    return [
        f"{name} imports {other}, which lies above it"
        for name in sorted(modules())
        if name.startswith(f"{package}.")
        for other in sorted(imports(name))
        if other.startswith(f"{package}.") and floor(floors, part(other, depth)) > floor(floors, part(name, depth))
    ]


def test_imports_of_the_lab_go_downward() -> None:
    assert upward("pdk_nb", LAB_FLOORS, 1) == []


def test_imports_of_the_stack_go_downward() -> None:
    assert upward("pdk_stack", STACK_FLOORS, 1) == []


@pytest.mark.parametrize("service", SERVICES)
def test_imports_of_a_service_go_downward(service: str) -> None:
    assert upward(f"pdk_stack.{service}", SERVICE_FLOORS, 2) == []


@pytest.mark.parametrize("service", SERVICES)
def test_services_have_one_anatomy(service: str) -> None:
    found = {part(name, 2) for name in modules() if name.startswith(f"pdk_stack.{service}.")}
    assert found >= ANATOMY
    assert found <= set().union(*SERVICE_FLOORS)


@pytest.mark.parametrize("service", SERVICES)
def test_services_know_each_other_by_their_protocols_only(service: str) -> None:
    others = tuple(f"pdk_stack.{each}" for each in SERVICES if each != service)
    wrong = [
        f"{name} imports {other}"
        for name in modules()
        if name.startswith(f"pdk_stack.{service}")
        for other in imports(name)
        if other.startswith(others)
    ]
    assert wrong == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_store_and_a_core_know_no_protocol(service: str) -> None:
    protocols = ("starlette", "uvicorn", "cheroot", "werkzeug", "grpc", "pdk_stack.common.http")
    wrong = []
    for name in modules():
        if part(name, 1) == service and part(name, 2) in ("store", "core"):
            used = {
                alias.name if isinstance(node, ast.Import) else str(node.module)
                for node in ast.walk(tree(name))
                if isinstance(node, (ast.Import, ast.ImportFrom))
                for alias in node.names
            }
            wrong += [
                f"{name} imports {each}"
                for each in used
                if any(each == p or each.startswith(f"{p}.") for p in protocols)
            ]
    assert wrong == []


def users(mechanism: str) -> set[str]:
    """The modules in which a mechanism is written out."""
    found = set()
    for name in modules():
        for node in ast.walk(tree(name)):
            text = ast.unparse(node) if isinstance(node, (ast.Call, ast.Import, ast.ImportFrom)) else ""
            if mechanism.startswith("a database"):
                hit = isinstance(node, ast.Call) and text.startswith("sqlite3.connect(")
            elif mechanism.startswith("a process group"):
                hit = isinstance(node, ast.Call) and (
                    text.startswith("os.killpg(") or any(word.arg == "start_new_session" for word in node.keywords)
                )
            elif mechanism.startswith("an HTTP"):
                hit = isinstance(node, (ast.Import, ast.ImportFrom)) and text.split()[1].split(".")[0].rstrip(",") in (
                    *("uvicorn", "cheroot", "werkzeug", "socketserver"),
                )
                hit = hit or (isinstance(node, ast.ImportFrom) and node.module == "http.server")
            elif mechanism.startswith("a listening"):
                hit = isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".listen", ".create_server"))
            else:
                hit = isinstance(node, ast.Call) and text.startswith("time.sleep(")
            if hit:
                found.add(name)
    return found


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_mechanism_is_written_once(mechanism: str) -> None:
    places, excused = MECHANISMS[mechanism]
    found = users(mechanism)
    assert found - places - set(excused) == set()
    assert set(excused) <= found, "an excuse that nobody needs any more"
    assert all(excused.values()), "an excuse needs a reason"


def test_nothing_of_the_lab_asks_whether_it_runs_locally() -> None:
    for name in modules():
        if part(name, 0) == "pdk_nb":
            for node in ast.walk(tree(name)):
                if isinstance(node, ast.If) and isinstance(node.test, ast.Name):
                    assert node.test.id not in ("local", "is_local", "embedded"), name


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name in modules() if not ast.get_docstring(tree(name))] == []
