"""Write what each distribution brings: a software bill of materials (CycloneDX 1.6) and a list of licenses.

    .venv-release/bin/python scripts/make_sbom.py --environment .venv --out build/sbom

``cyclonedx-py`` reads the whole environment, in which the tests ran; the document of a distribution keeps what its
installation brings, and nothing of the development tools. Runs in an environment of its own with ``cyclonedx-bom``.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Each distribution as people install it.
DISTRIBUTIONS = {"pdk-lab": ("all",), "pdk-lab-stack": ()}
SCHEMA = "1.6"
UNKNOWN = "unknown"


def installed(environment: Path) -> dict[str, importlib.metadata.Distribution]:
    """The distributions of an environment, by their canonical names."""
    program = "import sysconfig; print(sysconfig.get_path('purelib')); print(sysconfig.get_path('platlib'))"
    python = environment / "bin" / "python"
    said = subprocess.run([str(python), "-c", program], check=True, capture_output=True, text=True).stdout
    found = importlib.metadata.distributions(path=list(dict.fromkeys(said.split())))
    return {canonicalize_name(each.metadata["Name"]): each for each in found}


def closure(name: str, extras: tuple[str, ...], known: Mapping[str, importlib.metadata.Distribution]) -> set[str]:
    """The names of all that an installation of a distribution brings, itself included.

    Args:
        name: The distribution.
        extras: Extras that are installed with it.
        known: The distributions of the environment.
    """
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(name), extra) for extra in ("", *extras)]
    while waiting:
        each = waiting.pop()
        if each in found or each[0] not in known:
            continue
        found.add(each)
        for text in known[each[0]].requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": each[1]}):
                waiting += [(canonicalize_name(needed.name), extra) for extra in ("", *needed.extras)]
    return {name for name, _ in found}


def part(document: dict[str, Any], name: str, names: set[str]) -> dict[str, Any]:
    """The part of an environment's document that belongs to one distribution.

    Args:
        document: The document of the whole environment.
        name: The distribution: the document's subject.
        names: What it brings.
    """
    components = [each for each in document["components"] if canonicalize_name(each["name"]) in names]
    subject = next(each for each in components if canonicalize_name(each["name"]) == name)
    others = [each for each in components if each is not subject]
    refs = {each["bom-ref"] for each in components}
    graph = [
        {**each, **({"dependsOn": sorted(set(each["dependsOn"]) & refs)} if "dependsOn" in each else {})}
        for each in document.get("dependencies", ())
        if each["ref"] in refs
    ]
    return {
        **document,
        "metadata": {**document["metadata"], "component": subject},
        "components": others,
        "dependencies": graph,
    }


def license_of(component: dict[str, Any]) -> str:
    """A component's licenses: an SPDX expression or identifier where there is one, else its own words."""
    said = []
    for entry in component.get("licenses", ()):
        if "expression" in entry:
            return str(entry["expression"])
        found = entry.get("license", {})
        said.append(str(found.get("id") or found.get("name", "")))
    # Some packages put the whole text where the name belongs.
    lines = (text.strip().partition("\n")[0].rpartition(" :: ")[2][:80] for text in said)
    names = dict.fromkeys(filter(None, lines))
    ids = [entry["license"]["id"] for entry in component.get("licenses", ()) if "id" in entry.get("license", {})]
    return ", ".join(dict.fromkeys(ids)) or ", ".join(names) or UNKNOWN


def write(document: dict[str, Any], name: str, out: Path) -> None:
    """Write one distribution's document and its list of licenses.

    Raises:
        SystemExit: The document doesn't follow CycloneDX's schema.
    """
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = json.dumps(document, indent=1)
    if error := JsonStrictValidator(SchemaVersion.from_version(SCHEMA)).validate_str(text):
        raise SystemExit(f"The bill of materials of {name} doesn't follow CycloneDX {SCHEMA}: {error}")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.cdx.json").write_text(text)
    with (out / f"{name}-licenses.csv").open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(("package", "version", "license"))
        for each in sorted(document["components"], key=lambda each: canonicalize_name(each["name"])):
            rows.writerow((each["name"], each.get("version", ""), license_of(each)))
    unknown = [each["name"] for each in document["components"] if license_of(each) == UNKNOWN]
    said = f"; no license is stated by {', '.join(unknown)}" if unknown else ""
    print(f"{name}: {len(document['components'])} packages{said}")


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--environment", type=Path, default=Path(".venv"), help="the environment with both distributions"
    )
    parser.add_argument("--out", type=Path, default=Path("build/sbom"))
    args = parser.parse_args()
    tool = [str(Path(sys.executable).parent / "cyclonedx-py"), "environment", "--spec-version", SCHEMA]
    python = args.environment / "bin" / "python"
    made = subprocess.run([*tool, "--output-format", "JSON", str(python)], check=True, capture_output=True, text=True)
    document, known = json.loads(made.stdout), installed(args.environment)
    for name, extras in DISTRIBUTIONS.items():
        write(part(document, name, closure(name, extras, known)), name, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
