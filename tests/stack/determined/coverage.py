"""Writes docs/coverage-determined.md: which calls of the official client this master answers.

python -m tests.stack.determined.coverage
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from determined.common.api import bindings

from pdk_stack.determined import VERSION
from pdk_stack.determined.api.application import all_routes

PAGE = Path(__file__).resolve().parents[3] / "docs" / "coverage-determined.md"
_CALL = re.compile(r'method="(\w+)",\s*path=f?"([^"]+)"')


def client_calls() -> dict[tuple[str, str], str]:
    """Method and path of every call that the client's bindings know, with the function that makes it."""
    found = {}
    for name, function in inspect.getmembers(bindings, inspect.isfunction):
        match = _CALL.search(inspect.getsource(function))
        if match:
            found[match[1], match[2]] = name.partition("_")[2]
    return found


def answered(method: str, path: str) -> bool:
    """Whether the master has a route for a call."""
    # A path's value may be anything but a word of another route.
    return all_routes().find(method, re.sub(r"\{\w+\}", "0", path)) is not None


def page() -> str:
    """The page's text."""
    calls = client_calls()
    known = {call for call in calls if answered(*call)}
    own = sorted(
        (route.method, route.path)
        for route in all_routes().routes
        if not any(
            route.method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route.path), path)
            for method, path in calls
        )
    )
    lines = [
        "# Embedded Determined: what it answers",
        "",
        f"Made by `python -m tests.stack.determined.coverage` from the bindings of the client's release {VERSION};",
        "a test keeps it current.",
        "",
        f"{len(known)} of {len(calls)} calls are answered. All others are refused with 501 and the call's name.",
        "",
        "| Call | Method | Path | |",
        "|---|---|---|---|",
    ]
    for (method, path), name in sorted(calls.items(), key=lambda entry: (entry[0][1], entry[0][0])):
        lines.append(f"| {name} | {method} | `{path}` | {'answered' if (method, path) in known else 'refused'} |")
    lines += ["", "Calls that have no binding, made by the client, the trial's processes or people:", ""]
    lines += [f"- {method} `{path}`" for method, path in own]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    print(PAGE)
