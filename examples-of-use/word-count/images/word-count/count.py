"""Count the words of each text in a datum: for ``a.txt``, the file ``a.json`` with each word's number."""

import collections
import json
import os
import pathlib
import re

PFS = pathlib.Path(os.environ.get("PDK_PFS_ROOT", "/pfs"))  # set only where a machine can't mount /pfs


def main() -> None:
    """Read every text of the datum, and write its counts to the output."""
    for text in sorted((PFS / "texts").rglob("*.txt")):
        words = re.findall(r"\w+", text.read_text().lower())
        target = (PFS / "out" / text.relative_to(PFS / "texts")).with_suffix(".json")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(dict(sorted(collections.Counter(words).items()))))


if __name__ == "__main__":
    main()
