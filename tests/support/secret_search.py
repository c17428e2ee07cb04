"""Looks for secrets where they have no business: in files (also inside archives), in texts, on command lines."""

from __future__ import annotations

import base64
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote


def forms(secret: str) -> set[bytes]:
    """A secret as it may stand somewhere: plain, in base64, in a URL."""
    return {secret.encode(), base64.b64encode(secret.encode()).rstrip(b"="), quote(secret, safe="").encode()}


# The tokens of the embedded Pachyderm's pipelines are made for each pipeline; their form gives them away.
PIPELINE_TOKEN = re.compile(rb"pipeline-\d+-[0-9a-f]{64}")


def found_in(content: bytes, secrets: Mapping[str, str]) -> set[str]:
    """Names of the secrets that stand in some bytes."""
    found = {name for name, secret in secrets.items() if any(form in content for form in forms(secret))}
    return found | ({"pipeline token"} if PIPELINE_TOKEN.search(content) else set())


def found_in_files(folder: Path, secrets: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Path (below the folder) and secret for each file that holds one; archives are opened."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        shown = path.relative_to(folder).as_posix()
        for name in found_in(path.read_bytes(), secrets):
            yield shown, name
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    for name in found_in(archive.read(member), secrets):
                        yield f"{shown}!{member}", name
