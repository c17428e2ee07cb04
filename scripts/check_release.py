"""Check a release before it's published: the tag, the built files, and the changelog name one version.

    python -m scripts.check_release v1.2.3 dist          # exit status 1, with the reason, if they don't
    python scripts/check_release.py --notes v1.2.3       # the changelog's part, for the release's page

It imports nothing but Python's own library.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DISTRIBUTIONS = ("pdk_lab", "pdk_lab_stack")
TAG = re.compile(r"v(\d+\.\d+\.\d+)")


def notes(changelog: str, version: str) -> str:
    """The changelog's part for one version, without its heading; empty when there is none."""
    parts = re.split(r"^## \[?([^\]\s]+)\]?.*$", changelog, flags=re.M)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    # The links at the end of the page belong to no version.
    return re.sub(r"^\[[^\]]+\]: .*$", "", found.get(version, ""), flags=re.M).strip()


def problems(tag: str, folder: Path, changelog: str, code: str) -> list[str]:
    """What isn't right, for people; empty for a release that may go out."""
    match = TAG.fullmatch(tag)
    if not match:
        return [f"The tag {tag} isn't v<major>.<minor>.<patch>."]
    version = match.group(1)
    expected = {
        name for each in DISTRIBUTIONS for name in (f"{each}-{version}-py3-none-any.whl", f"{each}-{version}.tar.gz")
    }
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    said = []
    if missing := sorted(expected - found):
        said.append(f"{folder} lacks {', '.join(missing)}.")
    if extra := sorted(found - expected):
        said.append(f"{folder} holds {', '.join(extra)}, which don't belong to {version}.")
    if not re.search(rf'^RELEASE = "{re.escape(version)}"$', code, re.M):
        said.append(f"pdk_nb/__init__.py names another RELEASE than {version}.")
    if not notes(changelog, version):
        said.append(f"CHANGELOG.md has nothing under [{version}].")
    return said


def main(argv: list[str] | None = None) -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notes", action="store_true", help="print the changelog's part and check nothing")
    parser.add_argument("tag")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist")
    args = parser.parse_args(argv)
    changelog = (ROOT / "CHANGELOG.md").read_text()
    if args.notes:
        print(notes(changelog, args.tag.removeprefix("v")))
        return 0
    said = problems(args.tag, args.folder, changelog, (ROOT / "pdk_nb" / "__init__.py").read_text())
    for line in said:
        print(line, file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    raise SystemExit(main())
