"""The train stage: from a commit of pictures to a registered model version.

It runs in the train pipeline's worker. In order: fetch the experiment's code, fill its configuration, check that
Determined can run it, start the experiment (or find the one that this job has started before), wait, register the best
checkpoint under the commit's id, copy it to ``/pfs/out/checkpoint``, write ``/pfs/out/model-info.yaml``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pdk_nb.labels import LabelRule, parse_classes
from pdk_nb.platforms import mlde
from pdk_nb.stages import experiment, pfs_root, source
from pdk_nb.stages.model_info import FILE_NAME, ModelInfo
from pdk_shared.errors import DataError, PdkError, SettingsError, TrainingError, UsageError

if TYPE_CHECKING:
    from determined.common.experimental.model import ModelVersion
    from determined.experimental import Checkpoint, Determined, Model

__all__ = ["Job", "Terminated", "main", "run"]

log = logging.getLogger("pdk.train")

# What a trial writes into its log when it refuses its data (experiment/model_def.py).
REFUSED = "cannot train:"
# Names in version metadata that decide whether another net can take over the weights.
NET_KEYS = ("model", "image_size", "width")


class Terminated(BaseException):
    """The worker was told to stop (SIGTERM): the job was stopped, deleted, or its pod must go."""


@dataclass(frozen=True)
class Job:
    """What Pachyderm tells its worker.

    Attributes:
        id: The job's id, which is also the id of its commits.
        pipeline: The pipeline's name.
        project: Its project.
        commit: The input commit.
        host: pachd's address, as trials reach it.
        port: pachd's gRPC port.
        token: Pachyderm token; empty without authentication.
        token_from: The variable that the token came from.
    """

    id: str
    pipeline: str
    project: str
    commit: str
    host: str
    port: str
    token: str = ""
    token_from: str = ""

    def __repr__(self) -> str:
        return f"Job({self.id}, {self.pipeline}, {self.project}, {self.commit}, {self.host}:{self.port})"

    @classmethod
    def from_environment(cls, env: Mapping[str, str], *, project: str = "", input_name: str = "data") -> Job:
        """Read the worker's environment.

        Args:
            env: The environment.
            project: Project given on the command line; wins.
            input_name: Name of the pipeline's input.

        Raises:
            SettingsError: This is no worker, or pachd's address is not known.
        """
        job = env.get("PACH_JOB_ID", "")
        if not job:
            raise SettingsError(
                "there is no job id",
                where="PACH_JOB_ID",
                fix="this stage runs in a pipeline's worker; see docs/architecture.md",
            )
        host = env.get("PACHD_LB_SERVICE_HOST") or env.get("PACHD_PEER_SERVICE_HOST") or ""
        port = (
            env.get("PACHD_LB_SERVICE_PORT") if env.get("PACHD_LB_SERVICE_HOST") else env.get("PACHD_PEER_SERVICE_PORT")
        )
        if not host:
            raise SettingsError(
                "the address of Pachyderm is not known",
                where="PACHD_LB_SERVICE_HOST, PACHD_PEER_SERVICE_HOST",
                fix="map pachd_lb_service_host and pachd_lb_service_port of pipeline-secret in the pipeline's spec",
            )
        token_from = next((name for name in ("PAC_TOKEN", "PACH_TOKEN") if env.get(name)), "")
        return cls(
            id=job,
            pipeline=env.get("PPS_PIPELINE_NAME", ""),
            project=project or env.get("PPS_PROJECT_NAME", "default"),
            commit=env.get(f"{input_name}_COMMIT") or job,
            host=host,
            port=port or "30650",
            token=env.get(token_from, "") if token_from else "",
            token_from=token_from,
        )


@dataclass(frozen=True)
class WarmStart:
    """What training goes on from.

    Attributes:
        version: Name of the version.
        checkpoint: Its checkpoint's uuid.
        commit: The commit that it has learned from.
    """

    version: str
    checkpoint: str
    commit: str


def parser() -> argparse.ArgumentParser:
    """The stage's command line: the PDK examples' flags, and the lab's own."""
    flags = argparse.ArgumentParser(
        prog="train.py",
        description="Train on the commit of this pipeline's job in Determined, and register the best checkpoint.",
    )
    flags.add_argument("--git-url", required=True, help="repository with the experiment: https://, file:// or a path")
    flags.add_argument("--git-ref", default="", help="branch, tag or commit (default: the default branch)")
    flags.add_argument("--sub-dir", default="", help="folder of the experiment in the repository")
    flags.add_argument("--config", required=True, help="experiment configuration, a file in that folder")
    flags.add_argument("--repo", required=True, help="Pachyderm repo with the pictures")
    flags.add_argument("--project", default="", help="Pachyderm project (default: the pipeline's)")
    flags.add_argument("--model", required=True, help="model in Determined's registry; made if absent")
    flags.add_argument(
        "--incremental",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on from the last version with what is new, or train anew with everything (default: %(default)s)",
    )
    flags.add_argument(
        "--classes",
        default="",
        help="class names, separated by commas, in the order of the model's outputs (default: the configuration's)",
    )
    flags.add_argument("--profile", default="auto", help="profiles/<name>.yaml to use; auto goes by the resource pool")
    flags.add_argument(
        "--resource-pool", default="", help="Determined's resource pool (default: one with GPUs, if any)"
    )
    flags.add_argument("--workspace", default="", help="Determined workspace (default: the configuration's)")
    flags.add_argument("--experiment-project", default="", help="Determined project (default: the configuration's)")
    flags.add_argument("--input-name", default="data", help="name of the pipeline's input (default: %(default)s)")
    flags.add_argument("--timeout", type=float, default=0.0, help="give up after this many minutes (default: never)")
    return flags


def run(options: argparse.Namespace, env: Mapping[str, str]) -> ModelInfo:
    """The whole stage.

    Args:
        options: As parsed by :func:`parser`.
        env: The worker's environment.

    Returns:
        What was written to ``model-info.yaml``.
    """
    job = Job.from_environment(env, project=options.project, input_name=options.input_name)
    log.info("job %s of %s/%s, commit %s of %s", job.id, job.project, job.pipeline, job.commit, options.repo)
    if job.token_from:
        log.info("Pachyderm token: from %s", job.token_from)
    with tempfile.TemporaryDirectory(prefix="pdk-train-") as scratch:
        code = source.fetch(options.git_url, options.git_ref, options.sub_dir, Path(scratch))
        for note in code.notes:
            log.warning("%s", note)
        log.info("code: %s %s -> %s", code.url, code.ref or "(default branch)", code.sha)
        shown = f"{options.sub_dir.strip('/')}/{options.config}".lstrip("/")
        config = experiment.read_yaml(code.folder / options.config, shown)
        client = mlde.connect(env.get("DET_MASTER", ""), env.get("DET_USER", ""), env.get("DET_PASSWORD", ""))
        wanted_pool = options.resource_pool or str((config.get("resources") or {}).get("resource_pool") or "")
        pool = mlde.choose_pool(mlde.pools(client), wanted_pool)
        config, profile = experiment.with_profile(config, code.folder, options.profile, pool)
        log.info("resource pool: %s (%s), profile: %s", pool.name, "GPU" if pool.has_gpu else "CPU", profile or "none")
        if options.classes:
            named = LabelRule(parse_classes(options.classes)).classes
            config = experiment.merge(config, {"data": {"classes": list(named)}})
        classes = tuple(str(name) for name in (config.get("data") or {}).get("classes") or ())
        _check_names(pfs_root() / options.input_name, classes)
        model = mlde.ensure_model(
            client,
            options.model,
            labels=[label for label in (job.pipeline, options.repo) if label],
            metadata={"pipeline": job.pipeline, "repository": options.repo, "project": job.project},
        )
        warm = _warm_start(model, config, classes, job, options.repo) if options.incremental else None
        block = experiment.PachydermBlock(
            host=job.host,
            port=job.port,
            project=job.project,
            repo=options.repo,
            branch=job.commit,
            token=job.token,
            previous_commit=warm.commit if warm else "",
        )
        config = experiment.fill(
            config,
            block,
            labels=[label for label in (options.repo, job.id, job.pipeline) if label],
            pool=pool.name,
            workspace=options.workspace,
            project=options.experiment_project,
            warm_start=warm.checkpoint if warm else "",
        )
        experiment.check(config, pool, shown)
        mlde.check_project(client, str(config.get("workspace") or ""), str(config.get("project") or ""))
        context = experiment.build_context(code.folder, Path(scratch) / "context")
        number, warm = _start(client, config, context, job, warm)
        _wait(client, number, config, options.timeout)
        return _publish(client, model, number, config, job, options.repo, code, warm, classes)


def _check_names(folder: Path, classes: tuple[str, ...]) -> None:
    """Refuse a commit by its file names alone: the worker sees them, and no experiment needs to start."""
    if len(classes) < 2 or not folder.is_dir():
        return
    rule = LabelRule(classes)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    found = {rule.label(name) for name in names} - {None}
    if len(found) == len(classes):
        return
    missing = ", ".join(name for index, name in enumerate(classes) if index not in found)
    raise DataError(
        f"the commit has no picture of class {missing} ({len(names)} files by name)",
        where=str(folder),
        fix="name files like cat.1.jpg, or put them into folders named after their class, and commit them",
    )


def _net(config: Mapping[str, Any]) -> dict[str, Any]:
    hparams = config.get("hyperparameters") or {}
    return {key: hparams[key] for key in NET_KEYS if key in hparams}


def _warm_start(
    model: Model, config: Mapping[str, Any], classes: tuple[str, ...], job: Job, repo: str
) -> WarmStart | None:
    """The last version, if training can go on from it; the log says why not."""
    known = [version for version in mlde.versions(model) if version.name != job.id]
    if not known:
        log.info("the model has no version yet: full training")
        return None
    last = known[0]
    lineage = dict(last.metadata or {})
    reason = ""
    if last.checkpoint is None or (lineage.get("project"), lineage.get("repo")) != (job.project, repo):
        reason = "it comes from another repo"
    elif lineage.get("net") != _net(config):
        reason = f"its net is another one ({lineage.get('net')})"
    elif tuple(lineage.get("classes") or ()) != classes:
        reason = f"its classes are others ({lineage.get('classes')})"
    elif lineage.get("commit") == job.commit:
        reason = "it has learned from this very commit"
    if reason:
        log.info("version %s cannot be gone on from, %s: full training", last.name, reason)
        return None
    assert last.checkpoint is not None
    log.info("going on from version %s (number %d)", last.name, last.model_version)
    return WarmStart(str(last.name), last.checkpoint.uuid, str(lineage["commit"]))


def _start(
    client: Determined, config: dict[str, Any], context: Path, job: Job, warm: WarmStart | None
) -> tuple[int, WarmStart | None]:
    """The job's experiment: the one that an earlier attempt has started, or a new one."""
    found = mlde.experiment_for_job(client, job.id, job.pipeline)
    if found is not None:
        state = mlde.progress(client, found.id).state
        if state not in ("CANCELED", "STOPPING_CANCELED", "STOPPING_KILLED", "DELETED"):
            log.info("experiment %d of this job exists (%s): no second one is started", found.id, state)
            if state == "PAUSED":
                found.activate()
            uuid = ((found.config or {}).get("searcher") or {}).get("source_checkpoint_uuid") if found.config else None
            return found.id, warm if warm is not None and uuid == warm.checkpoint else None
        log.info("experiment %d of this job was cancelled: starting another", found.id)
    try:
        # The client prints a line for every file that it sends.
        with contextlib.redirect_stdout(io.StringIO()):
            created = client.create_experiment(config=config, model_dir=context)
    except Exception as error:
        raise TrainingError(
            f"Determined refuses the experiment: {str(error).strip() or type(error).__name__}",
            fix="check the experiment's configuration against the message",
        ) from error
    log.info("experiment %d started: %s", created.id, mlde.experiment_path(client, created.id))
    return created.id, warm


@contextlib.contextmanager
def _cancel_when_told_to_stop(client: Determined, number: int) -> Iterator[None]:
    try:
        yield
    except (Terminated, KeyboardInterrupt):
        log.warning("told to stop: cancelling experiment %d", number)
        client.get_experiment(number).cancel()
        raise


def _length(config: Mapping[str, Any]) -> int:
    length = (config.get("searcher") or {}).get("max_length")
    length = length.get("batches") if isinstance(length, dict) else length
    return int(length) if isinstance(length, int) else 0


def _wait(client: Determined, number: int, config: Mapping[str, Any], timeout_min: float) -> None:
    """Wait for the experiment's end, telling how it goes; anything but success is an error."""
    total, told, started = _length(config), mlde.Progress("", 0.0), time.monotonic()

    def tell(now: mlde.Progress) -> None:
        nonlocal told
        step = max(1, total // 10)
        if (now.state, now.metric) == (told.state, told.metric) and now.batches - told.batches < step:
            return
        told = now
        batches = f", {now.batches}/{total or '?'} batches" if now.trial else ""
        metric = f", {now.metric[0]} {now.metric[1]:.4f}" if now.metric else ""
        log.info("experiment %d: %s%s%s (%.0f s)", number, now.state, batches, metric, time.monotonic() - started)

    with _cancel_when_told_to_stop(client, number):
        end = mlde.wait_experiment(client, number, timeout=timeout_min * 60 or None, progress=tell)
    lines = _trial_log(client, end.trial)
    for line in lines:
        if "pdk.data" in line or "pdk.trial" in line:
            log.info("trial: %s", line.rpartition("pdk.")[2].partition(": ")[2])
    refused = next((line.partition(REFUSED)[2].strip() for line in lines if REFUSED in line), "")
    if refused:
        raise DataError(refused, where=f"experiment {number}", fix="commit more pictures; a new job starts by itself")
    if end.state != "COMPLETED":
        for line in lines[-30:]:
            log.error("trial: %s", line)
        raise TrainingError(
            f"experiment {number} ended as {end.state}",
            where=mlde.experiment_path(client, number),
            fix=f"read the trial's log above, or: det experiment logs {number}",
        )


def _trial_log(client: Determined, trial: int) -> list[str]:
    if not trial:
        return []
    try:
        return mlde.tail_logs(client, trial, 400)
    except Exception as error:  # the log is a help, not the result
        log.warning("the trial's log cannot be read: %s", error)
        return []


def _metric(config: Mapping[str, Any], checkpoint: Checkpoint) -> tuple[str, float] | None:
    name = str((config.get("searcher") or {}).get("metric") or "")
    values = (checkpoint.training.validation_metrics if checkpoint.training else {}) or {}
    value = (values.get("avgMetrics") or {}).get(name)
    return (name, float(value)) if value is not None else None


def _publish(
    client: Determined,
    model: Model,
    number: int,
    config: Mapping[str, Any],
    job: Job,
    repo: str,
    code: source.Source,
    warm: WarmStart | None,
    classes: tuple[str, ...],
) -> ModelInfo:
    """Register the best checkpoint, copy it to the output, and write its description last."""
    checkpoint = mlde.best_checkpoint(client, number)
    metric = _metric(config, checkpoint)
    trial = checkpoint.training.trial_id if checkpoint.training else 0
    resumed = warm.version if warm else ""
    lineage = {
        "project": job.project,
        "repo": repo,
        "commit": job.commit,
        "pipeline": job.pipeline,
        "job": job.id,
        "experiment": number,
        "trial": trial,
        "code": {"url": code.url, "ref": code.ref, "sha": code.sha},
        "classes": list(classes),
        "metric": {"name": metric[0], "value": metric[1]} if metric else None,
        "net": _net(config),
        "resumed_from": resumed,
    }
    version: ModelVersion = mlde.register(
        model, checkpoint, name=job.id, notes=f"Job_id/commit_id = {job.id}", metadata=lineage
    )
    shown = f", {metric[0]} {metric[1]:.4f}" if metric else ""
    log.info("registered %s version %d, named %s%s", model.name, version.model_version, job.id, shown)
    out = pfs_root() / "out"
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE_NAME).unlink(missing_ok=True)
    if (out / "checkpoint").exists():
        shutil.rmtree(out / "checkpoint")
    mlde.download(checkpoint, out / "checkpoint")
    info = ModelInfo(
        name=model.name,
        version=job.id,
        pipeline=job.pipeline,
        repo=repo,
        number=version.model_version,
        project=job.project,
        checkpoint=checkpoint.uuid,
        experiment=number,
        trial=trial,
        classes=classes,
        image_size=int((config.get("hyperparameters") or {}).get("image_size") or 0),
        metric=metric,
        code_sha=code.sha,
        git_url=code.url,
        resumed_from=resumed,
    )
    log.info("wrote %s", info.save(out))
    return info


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the train image.

    Returns:
        0, or 1 after an error that its message explains (2 for the command line), or 143 after SIGTERM.
    """
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    options = parser().parse_args(arguments)
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        run(options, os.environ)
        return 0
    except UsageError as error:
        log.error("%s", error)
        return error.exit_code
    except PdkError as error:
        log.error("%s: %s", type(error).__name__, error)
        return 1
    except Terminated:
        log.error("stopped")
        return 128 + signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, previous)


if __name__ == "__main__":
    sys.exit(main())
