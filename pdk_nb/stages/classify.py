"""The classify stage: the pictures of a datum get their classes from the service.

What the batch pipeline's job runs, once for each datum. For each picture below ``/pfs/data`` it writes a file of the
same path with ``.json`` at its end to ``/pfs/out``. A picture that can't be read fails its datum; the pipeline's
``err_cmd`` runs the stage again with ``--set-aside``, which succeeds for such pictures only: Pachyderm then counts the
datum as recovered, and the job goes on. A service that doesn't answer is never set aside.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from pdk_nb.photos import load_image, to_request
from pdk_nb.platforms.serving.batches import BODY_BYTES
from pdk_nb.platforms.serving.predictions import Endpoint, Prediction, send
from pdk_nb.stages.classify_options import ClassifyOptions, parse_arguments
from pdk_nb.stages.process import run_stage
from pdk_nb.stages.worker import Worker
from pdk_shared.errors import DataError, PredictionError

__all__ = ["SUFFIX", "main", "run"]

log = logging.getLogger("pdk.classify")

#: At the end of an answer's path, after the picture's own.
SUFFIX = ".json"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the stage; see :func:`pdk_nb.stages.process.run_stage` for the exit code."""
    # Every datum has the same output folder: logs of one name would be put together.
    return run_stage(lambda: run(parse_arguments(argv), Worker.from_environment()), keep_log=False)


def run(options: ClassifyOptions, worker: Worker) -> list[Path]:
    """Classify the pictures of the datum, or decide whether it may be set aside.

    Args:
        options: The command line.
        worker: The worker's environment.

    Returns:
        The written files.

    Raises:
        DataError: A picture can't be read; with ``set_aside``, all of them can.
        PredictionError: The service gave no answer.
    """
    pictures = sorted(path for path in (worker.pfs / "data").rglob("*") if path.is_file())
    if options.set_aside:
        _set_aside(pictures, worker.pfs / "data")
        return []
    written = []
    for picture in pictures:
        name = picture.relative_to(worker.pfs / "data").as_posix()
        answer = _ask(options, picture)
        if answer.error:
            raise PredictionError(f"The model has no answer: {answer.error}", where=name)
        target = worker.out / f"{name}{SUFFIX}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"picture": name, **answer.as_dict()}) + "\n", encoding="utf-8")
        log.info("%s: %s (%.3f)", name, answer.label, answer.score)
        written.append(target)
    return written


def _ask(options: ClassifyOptions, picture: Path) -> Prediction:
    """The answer of the first target that can be reached."""
    for target in options.targets[:-1]:
        try:
            return _answer(target, picture, options.timeout)
        except PredictionError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            log.warning("%s can't be reached: %s", target.address, error.what)
    return _answer(options.targets[-1], picture, options.timeout)


def _answer(target: Endpoint, picture: Path, timeout: float) -> Prediction:
    instances = to_request([picture], max_bytes=target.max_bytes - BODY_BYTES)["instances"]
    return send(target, instances, timeout=timeout)[0]


def _set_aside(pictures: Sequence[Path], root: Path) -> None:
    broken = []
    for picture in pictures:
        try:
            load_image(picture)
        except DataError as error:
            broken.append(picture)
            log.info("set aside: %s: %s", picture.relative_to(root).as_posix(), error.what)
    if not broken:
        raise DataError(
            "The pictures can be read, so this datum isn't set aside.",
            fix="Look for the reason in the log above; it is often the service.",
        )


if __name__ == "__main__":
    sys.exit(main())
