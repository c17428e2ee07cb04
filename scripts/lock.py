"""Resolve all dependencies for all versions of Python, and write them to ``constraints.txt`` (``make lock``).

uv resolves once for Python 3.10 to 3.13, Linux and macOS, and notes with markers where versions differ. It keeps the
pins that still fit. The people's environments, CI, Binder, conda, and the images install under this file.

    python scripts/lock.py                       keep what fits
    python scripts/lock.py --upgrade             take the newest versions
    python scripts/lock.py --upgrade-package moto
    python scripts/lock.py --check               compare it with both pyproject.toml; needs no internet
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "constraints.txt"
PROJECTS = ("pyproject.toml", "pdk_stack/pyproject.toml")
# What people, CI, the browser tests, and the documentation install.
REQUIREMENTS = ("-e .[all,dev,browser,docs]", "-e ./pdk_stack")
# Parts of markers that are always true: the versions and platforms that `requires-python` and `tool.uv` name.
ALWAYS = re.compile(
    r" ; python_full_version < '3\.14'$|python_full_version < '3\.14' and | and python_full_version < '3\.14'$"
)
PLATFORMS = re.compile(r" (;|and) \(sys_platform == 'darwin' or sys_platform == 'linux'\)$")
OWN = ("pdk-lab", "pdk-lab-stack")
HEADER = """# Every package of the environment for Python 3.10 to 3.13, pinned: the same for people, CI, and images.
# Made by `make lock` from pyproject.toml and pdk_stack/pyproject.toml; don't edit it.
# inputs: {inputs}
"""


def inputs() -> str:
    """A digest of everything that the resolution depends on."""
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib
    read: list[Any] = [REQUIREMENTS]
    for name in PROJECTS:
        content = tomllib.loads((ROOT / name).read_text())
        project = content["project"]
        read += [project["requires-python"], project["dependencies"], project.get("optional-dependencies", {})]
        read.append(content.get("tool", {}).get("uv", {}))
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:32]


def recorded() -> str:
    """The digest that the lock was made from."""
    found = re.search(r"^# inputs: (\w+)$", LOCK.read_text(), re.M)
    return found[1] if found else ""


def resolve(flags: list[str]) -> None:
    """Write the lock.

    Args:
        flags: More flags for ``uv pip compile``.
    """
    # In the root, because its lines are relative to their file.
    wanted = ROOT / ".requirements.in"
    wanted.write_text("\n".join(REQUIREMENTS) + "\n")
    command = [os.environ.get("UV", "uv"), "pip", "compile", "--quiet", "--universal", "--python-version", "3.10"]
    command += ["--no-annotate", "--no-header", "--output-file", str(LOCK)]
    command += [word for name in OWN for word in ("--no-emit-package", name)]
    try:
        subprocess.run([*command, *flags, wanted.name], cwd=ROOT, check=True)
    except FileNotFoundError:
        sys.exit("uv isn't installed.\n  what to do: pip install uv, or https://docs.astral.sh/uv/")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    finally:
        wanted.unlink()
    pins = [line for line in LOCK.read_text().splitlines() if "==" in line and not line.startswith("#")]
    pins = [ALWAYS.sub("", PLATFORMS.sub("", line)) for line in pins]
    LOCK.write_text(HEADER.format(inputs=inputs()) + "\n".join(pins) + "\n")


def main(argv: list[str]) -> int:
    """Write or check the lock; 1 if it is out of step."""
    if argv == ["--check"]:
        if recorded() == inputs():
            return 0
        print("constraints.txt is older than the dependencies.\n  what to do: make lock", file=sys.stderr)
        return 1
    resolve(argv)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
