"""Every code that the doctor can give, ``<id>:<state>``, read from its source; and which test provokes which of them.

A test says with :func:`provokes` what it breaks the stack for. It fails when the doctor has not said so, and
``tests/lab/test_doctor_codes.py`` fails when a code of the source is provoked by no test.
"""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pdk_nb.doctor
from pdk_nb.doctor.finding import STATES, Finding

FOLDER = Path(pdk_nb.doctor.__file__).parent
WELL = "ok"
# Ids that the source puts together, by module and function. A function that is not here fails the derivation; an id
# that is missing here fails the test that sees it.
COMPOSED: dict[tuple[str, str], tuple[str, ...]] = {
    ("__init__", "_group"): ("*.all",),
    ("clock", "examine"): ("clock.kubernetes", "clock.determined", "clock.storage"),
    ("clock", "judge"): ("clock.kubernetes", "clock.determined", "clock.storage"),
    ("images", "_judge"): ("images.train", "images.deploy"),
    ("pachyderm", "_pipelines"): ("pachyderm.train", "pachyderm.deploy"),
    ("rights", "_judge"): ("rights.person", "rights.worker"),
    ("versions", "examine"): ("versions.kubernetes", "versions.pachyderm", "versions.determined"),
    ("versions", "judge_minimum"): ("versions.kubernetes", "versions.pachyderm"),
    ("versions", "_images"): ("versions.train", "versions.deploy"),
}
Test = TypeVar("Test", bound=Callable[..., Any])
# What the doctor has said to the test that runs now.
said: set[str] = set()


def code_of(finding: Finding) -> str:
    """``<id>:<state>``; what stopped a group is one code for all groups."""
    group, _, name = finding.id.partition(".")
    return f"{'*' if name == 'all' else group}.{name}:{finding.state}"


def provokes(*codes: str) -> Callable[[Test], Test]:
    """Mark a test with the codes that it breaks something for; it fails unless the doctor gives all of them."""

    def mark(test: Test) -> Test:
        @functools.wraps(test)
        def checked(*args: Any, **options: Any) -> Any:
            said.clear()
            result = test(*args, **options)
            assert set(codes) <= said, f"the doctor did not say {', '.join(sorted(set(codes) - said))}"
            assert {each for each in said if not each.endswith(f":{WELL}")} <= every_code()
            return result

        checked.provokes = (*codes, *getattr(test, "provokes", ()))  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return mark


def provoked_in(module: Any) -> Iterator[tuple[str, str, str]]:
    """Name, code and source of each marked test of a module."""
    for name, test in vars(module).items():
        for code in getattr(test, "provokes", ()):
            yield name, code, inspect.getsource(test)


@functools.cache
def every_code() -> frozenset[str]:
    """All codes but those of what is well."""
    return frozenset(code for path in sorted(FOLDER.glob("*.py")) for code in _codes(path))


def _codes(path: Path) -> Iterator[str]:
    for function in (each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.FunctionDef)):
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Finding":
                for id in _ids(path.stem, function.name, call.args[0]):
                    yield from (f"{id}:{state}" for state in _states(function, call.args[1]) if state != WELL)


def _ids(module: str, function: str, given: ast.expr) -> tuple[str, ...]:
    if isinstance(given, ast.Constant):
        return (str(given.value),)
    return COMPOSED[module, function]


def _states(function: ast.FunctionDef, given: ast.expr) -> set[str]:
    """The states that an expression can be: itself, both sides of a choice, or what its name was set to."""
    if isinstance(given, ast.Constant):
        assert given.value in STATES
        return {str(given.value)}
    if isinstance(given, ast.IfExp):
        return _states(function, given.body) | _states(function, given.orelse)
    assert isinstance(given, ast.Name), ast.dump(given)
    found: set[str] = set()
    for each in ast.walk(function):
        targets: list[ast.expr] = each.targets if isinstance(each, ast.Assign) else []
        if isinstance(each, ast.AnnAssign):
            targets = [each.target]
        if any(isinstance(target, ast.Name) and target.id == given.id for target in targets):
            assert each.value is not None
            found |= _states(function, each.value)
    assert found, f"{function.name}: where does {given.id} come from?"
    return found
