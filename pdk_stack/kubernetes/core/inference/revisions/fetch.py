"""The storage initialiser: KServe's own downloader in a process of its own, until the model is there.

Run as ``python -m <this module> URI TARGET SECONDS``. A process of its own, because the downloader reads its
credentials from the environment. It tries again while the model is not there, as a pod that
crashes and restarts does: a pipeline that keeps the model in its own output commit creates the service before that
commit is finished. Each failed try prints one line of JSON for the controller: the reason, and whether the model is
merely not there, which may pass.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

from pdk_stack.common.polling import poll

FIRST_PAUSE_S = 0.3
LONGEST_PAUSE_S = 3.0


@functools.cache
def storage_class() -> Any:
    """``kserve.storage.Storage`` without the rest of kserve, whose import takes seconds."""
    spec = importlib.util.find_spec("kserve")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("kserve is not installed")
    package = types.ModuleType("kserve")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["kserve"] = package
    from kserve.storage import Storage

    return Storage


def copy_local(uri: str, target: Path) -> bool:
    """Copy a local folder; KServe links it, and a later change would reach a running revision.

    Returns:
        Whether the URI names a local folder.

    Raises:
        FileNotFoundError: It does not exist.
    """
    if uri.startswith("file://"):
        source = Path(uri.removeprefix("file://"))
    elif uri.startswith("/"):
        source = Path(uri)
    else:
        return False
    if not source.is_dir():
        raise FileNotFoundError(f"Local path {source} does not exist.")
    shutil.copytree(source, target, dirs_exist_ok=True)
    return True


def is_absent(error: Exception) -> bool:
    """Whether an error means that nothing lies at the address yet, and not that the storage cannot be used."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        # botocore's ClientError.
        return str((response.get("Error") or {}).get("Code")) in ("404", "NoSuchBucket", "NoSuchKey")
    # KServe's downloaders say so in words; 404 is the code of google's NotFound.
    said = isinstance(error, RuntimeError) and "No model found" in str(error)
    return said or isinstance(error, FileNotFoundError) or getattr(error, "code", None) == 404


def main(argv: list[str]) -> int:
    """Fetch a model; 0 when it lies in the target folder."""
    uri, target, seconds = argv[0], Path(argv[1]), float(argv[2])

    def fetched() -> bool:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        try:
            if not copy_local(uri, target):
                storage_class().download(uri, str(target))
            if any(path.is_file() for path in target.rglob("*")):
                return True
            reason, absent = f"nothing lies under {uri}", True
        except Exception as error:  # whatever a storage client raises is a reason to tell and to try again
            reason, absent = f"{type(error).__name__}: {error}", is_absent(error)
        print(json.dumps({"reason": reason, "absent": absent}), flush=True)
        return False

    return 0 if poll(fetched, seconds, FIRST_PAUSE_S, growth=1.5, longest=LONGEST_PAUSE_S) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
