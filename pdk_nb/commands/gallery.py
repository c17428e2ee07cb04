"""``gallery``: the executed notebooks of a run as offline pages."""

from __future__ import annotations

import argparse
from pathlib import Path

from pdk_nb.commands.common import Options, Subparsers, say


def register(commands: Subparsers, options: Options) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("gallery", help="export the notebooks of a run as pages with an index")
    parser.add_argument("--run", default="runs/latest", metavar="DIR", help="folder of a run (default: runs/latest)")
    parser.add_argument("--out", default="gallery", metavar="DIR", help="folder of the pages (default: gallery)")
    parser.set_defaults(handler=command_gallery)


def command_gallery(args: argparse.Namespace) -> int:
    """``pdk-nb gallery``."""
    from pdk_nb.run.html_export import export_gallery

    index = export_gallery(Path(args.run), Path(args.out))
    say(f"Open it in a browser: {index}")
    print(index)
    return 0
