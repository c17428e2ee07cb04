"""The example's experiment as a standalone folder, for people who use Determined's command line.

The folder contains the pictures, so it runs on every cluster and needs no Pachyderm token.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pdk_nb import photos, tasks
from pdk_nb.labels import LabelRule
from pdk_nb.picture_sources import folder_of
from pdk_nb.platforms import mlde
from pdk_nb.stages import experiment
from pdk_nb.tasks.image_classification.training import ImageClassification
from pdk_shared.errors import DataError, UsageError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["search_over", "write"]

PICTURES = "pictures"
#: The client's size limit (``determined.common.constants.MAX_CONTEXT_SIZE``), minus room for the code.
MAX_PICTURE_BYTES = 90 * 1000 * 1000
#: Range of the learning rate in the search, as powers of ten.
LEARNING_RATE = (-4.0, -1.5)


def write(session: Session, folder: Path, source: str = "", trials: int = 8, profile: str = "auto") -> dict[str, Any]:
    """Write the code, the pictures, ``const.yaml`` (one trial) and ``search.yaml`` (over the learning rate).

    Args:
        session: The session; its cluster determines the resource pool and the workspace.
        folder: A folder that doesn't exist yet.
        source: Folder or zip file with the pictures; the first arrival of the sample data when empty.
        trials: Number of learning rates.
        profile: ``cpu``, ``gpu``, ``small``, or ``auto`` to follow the resource pool.

    Returns:
        The configuration in ``const.yaml``.

    Raises:
        UsageError: The folder exists, or the example has no pictures.
        DataError: The pictures are unusable, or too large to send with the code.
        PdkError: The cluster lacks what the experiment needs.
    """
    if folder.exists():
        raise UsageError("The folder already exists.", where=str(folder), fix="Use a folder that doesn't exist.")
    if session.example.task != ImageClassification.name:
        raise UsageError(
            f"The example '{session.example.name}' has no pictures, so this command can't pack its data.",
            fix="Use the train pipeline: notebooks 01 to 03.",
        )
    home = session.example.experiment
    config = experiment.read_yaml(home / session.example.config)
    pool = mlde.choose_pool(mlde.pools(session.determined), session.settings.resource_pool)
    config, _ = experiment.with_profile(config, home, profile, pool)
    names = session.names
    config = experiment.merge(
        config,
        {
            "workspace": names.workspace,
            "project": names.experiment_project,
            "resources": {"resource_pool": pool.name},
        },
    )
    config["data"] = {"local_dir": PICTURES, "classes": config["data"]["classes"]}
    experiment.check(config, pool, "const.yaml")
    mlde.check_project(session.determined, names.workspace, names.experiment_project)
    found = photos.scan(folder_of(session, source, "data1"), LabelRule(tuple(config["data"]["classes"])))
    found.check()
    size = sum(each.size for each in found.photos)
    if size > MAX_PICTURE_BYTES:
        raise DataError(
            f"The pictures have {size / 1e6:.0f} MB; Determined's limit for an experiment's files is 95 MB.",
            where=str(found.folder),
            fix="Commit them to Pachyderm and use the train pipeline, or use a folder with fewer pictures.",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    # All or nothing: an interrupted run must not leave a folder that looks like an experiment.
    with tempfile.TemporaryDirectory(prefix=".pdk-experiment-", dir=folder.parent) as scratch:
        task = tasks.for_stages(session.example.task)
        made = experiment.build_context(home, Path(scratch) / "experiment", task.modules)
        shutil.rmtree(made / "profiles", ignore_errors=True)
        for photo in found.photos:
            target = made / PICTURES / found.renames.get(photo.name, photo.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(photo.path, target)
        for name, content in (("const.yaml", config), ("search.yaml", search_over(config, trials))):
            (made / name).write_text(yaml.safe_dump(content, sort_keys=False))
        made.rename(folder)
    return config


def search_over(config: dict[str, Any], trials: int) -> dict[str, Any]:
    """A configuration that tries several learning rates, sampled evenly on a logarithmic scale.

    Args:
        config: Configuration of one trial.
        trials: Number of learning rates.
    """
    low, high = LEARNING_RATE
    return experiment.merge(
        config,
        {
            "name": f"{config['name']}-learning-rate",
            # With several rates, all held-out pictures are right; the loss distinguishes them.
            "searcher": {"name": "random", "max_trials": trials, "metric": "loss", "smaller_is_better": True},
            "hyperparameters": {"learning_rate": {"type": "log", "base": 10, "minval": low, "maxval": high}},
        },
    )
