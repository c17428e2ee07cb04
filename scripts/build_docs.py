"""Build the documentation site: ``make docs``, or ``python -m scripts.build_docs``.

Needs the extra ``docs``. A warning stops the build: a link that leads nowhere, an anchor that doesn't exist, a page
that isn't in the navigation. Links to other sites are listed, not followed: the build needs no network.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from scripts.docs_site.staging import external_links, stage

ROOT = Path(__file__).resolve().parents[1]
# The site begins one folder down, so that links between pages are the same here and in the repository.
START = '<!doctype html><meta charset="utf-8"><title>PDK Lab</title><meta http-equiv="refresh" content="0; url=docs/">'


def build(out: Path, run: Path | None) -> int:
    """Build the site.

    Args:
        out: Folder for the site (``html``), its sources, and the list of external links.
        run: Folder with executed notebooks; None for notebooks without outputs.

    Returns:
        Sphinx's exit status.
    """
    source = out / "source"
    executed = stage(ROOT, source, run)
    print(f"Notebooks with outputs: {', '.join(executed) if executed else 'none'}", flush=True)
    options = ["--fail-on-warning", "--keep-going", "--quiet", "--fresh-env", "--conf-dir", str(source / "docs")]
    command = [sys.executable, "-m", "sphinx", *options, str(source), str(out / "html")]
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        (out / "html" / "index.html").write_text(START)
        links = external_links(source)
        lines = [f"{address}  ({', '.join(pages)})\n" for address, pages in links.items()]
        (out / "external-links.txt").write_text("".join(lines))
        print(f"{len(links)} links to other sites are listed in {out / 'external-links.txt'}.")
        print(f"The site is in {out / 'html'}; open {out / 'html' / 'index.html'}")
    return status


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "docs", help="folder of the site")
    parser.add_argument(
        "--run", type=Path, default=ROOT / "runs" / "latest", help="executed notebooks (default: the newest run's)"
    )
    args = parser.parse_args()
    return build(args.out, args.run if args.run.is_dir() else None)


if __name__ == "__main__":
    raise SystemExit(main())
