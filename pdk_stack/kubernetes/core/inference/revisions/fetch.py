"""The storage initializer: runs KServe's downloader in a separate process until the model is available.

Run as ``python -m <this module> URI TARGET SECONDS``. It is a separate process because the downloader reads its
credentials from the environment. Like a pod that crashes and restarts, it retries while the model is absent: a pipeline
that stores the model in its own output commit creates the service before that commit is finished. Each failed try
prints one JSON line for the controller: the reason, and whether the model is merely absent, which can be temporary.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from pdk_stack.common.polling import poll

FIRST_PAUSE_S = 0.3
LONGEST_PAUSE_S = 3.0


def copy_local(uri: str, target: Path) -> bool:
    """Copy a local folder; KServe's link would let later changes reach a running revision.

    Returns:
        Whether the URI refers to a local folder.

    Raises:
        FileNotFoundError: The folder doesn't exist.
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
    """Return whether an error means that the model is absent, rather than that the storage is unusable."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        # botocore's ClientError.
        return str((response.get("Error") or {}).get("Code")) in ("404", "NoSuchBucket", "NoSuchKey")
    # KServe's downloaders only have a message; 404 is the code of Google's NotFound.
    said = isinstance(error, RuntimeError) and "No model found" in str(error)
    return said or isinstance(error, FileNotFoundError) or getattr(error, "code", None) == 404


def main(argv: list[str]) -> int:
    """Fetch a model; return 0 when it is in the target folder."""
    uri, target, seconds = argv[0], Path(argv[1]), float(argv[2])

    def fetched() -> bool:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        try:
            if not copy_local(uri, target):
                # Late, because importing all clouds' clients takes a second.
                from pdk_stack.third_party.kserve.storage.storage import Storage

                Storage.download(uri, str(target))
            if any(path.is_file() for path in target.rglob("*")):
                return True
            reason, absent = f"nothing lies under {uri}", True
        except Exception as error:  # report and retry whatever a storage client raises
            reason, absent = f"{type(error).__name__}: {error}", is_absent(error)
        print(json.dumps({"reason": reason, "absent": absent}), flush=True)
        return False

    return 0 if poll(fetched, seconds, FIRST_PAUSE_S, growth=1.5, longest=LONGEST_PAUSE_S) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
