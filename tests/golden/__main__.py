"""``python -m tests.golden``: print how the embedded services' answers stand to those of the real servers.

``make golden`` asks everything. ``python -m tests.golden determined --only experiments --show accepted`` asks one
group and prints the calls of one class; ``--ratchet`` writes today's numbers as those that must not grow.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.golden import asking, ratchet


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("platforms", nargs="*", metavar="PLATFORM", help=", ".join(asking.PLATFORMS))
    parser.add_argument("--only", action="append", default=[], metavar="GROUP", help="may be given several times")
    parser.add_argument("--show", choices=asking.CLASSES, help="print the calls of a class with both outcomes")
    parser.add_argument("--out", type=Path, help="folder for records and logs; a temporary one by default")
    parser.add_argument("--ratchet", action="store_true", help="write the numbers as those that must not grow")
    options = parser.parse_args()
    if not asking.golden_dir():
        print("The recorded answers of the real servers are not here.", file=sys.stderr)
        print("  what to do: set PDK_REFERENCE_DIR to the folder that holds `golden`.", file=sys.stderr)
        return 1
    for name in options.platforms or asking.PLATFORMS:
        if name not in asking.PLATFORMS:
            parser.error(f"no platform {name!r}; there are: {', '.join(asking.PLATFORMS)}")
        platform = asking.PLATFORMS[name]
        if platform.tool and not shutil.which(platform.tool):
            print(f"\n{name}: left out, {platform.tool} is not in the PATH")
            continue
        with tempfile.TemporaryDirectory(prefix="pdk-golden-") as scratch:
            folder = (options.out or Path(scratch)) / name
            shutil.rmtree(folder, ignore_errors=True)
            record = asking.ask(name, folder, options.only)
            print(f"\n{name}\n{asking.score(name, record, *(['--show', options.show] if options.show else []))}")
            if options.ratchet:
                ratchet.write(name, asking.counts(name, record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
