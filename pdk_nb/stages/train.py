"""The train stage: a commit of data becomes a registered model version.

What the train pipeline's job runs. It fetches the experiment's code, completes its configuration, checks that
Determined can run it, starts the experiment (or finds the one that this job started before), waits, registers the best
checkpoint under the job's id, copies it to ``/pfs/out/checkpoint``, and writes ``/pfs/out/model-info.yaml`` last.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pdk_nb import tasks
from pdk_nb.platforms import mlde
from pdk_nb.stages import experiment, experiment_run, source
from pdk_nb.stages.model_info import ModelInfo
from pdk_nb.stages.process import run_stage
from pdk_nb.stages.registering import Training, publish, register
from pdk_nb.stages.resuming import find_warm_start
from pdk_nb.stages.train_options import TrainOptions, parse_arguments
from pdk_nb.stages.worker import Worker

__all__ = ["main", "run"]

log = logging.getLogger("pdk.train")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the train image; see :func:`pdk_nb.stages.process.run_stage` for the exit code."""
    return run_stage(lambda: run(parse_arguments(argv), Worker.from_environment()))


def run(options: TrainOptions, worker: Worker) -> ModelInfo:
    """Train on the job's commit.

    Args:
        options: The command line.
        worker: The worker's environment.

    Returns:
        What was written to ``model-info.yaml``.

    Raises:
        PdkError: A step failed; the text says which, and what to do.
    """
    job, pachd, task = worker.job, worker.pachd, tasks.for_stages(options.task)
    project, commit = worker.data_project(options.project), worker.commit(options.input_name)
    log.info("job %s of %s/%s, commit %s of %s", job, project, worker.pipeline, commit, options.repo)
    if pachd.token_from:
        log.info("Pachyderm token: from %s", pachd.token_from)
    with tempfile.TemporaryDirectory(prefix="pdk-train-") as scratch:
        code = source.fetch(options.git_url, options.git_ref, options.sub_dir, Path(scratch), options.handler)
        for note in code.notes:
            log.warning("%s", note)
        log.info("code: %s %s -> %s", code.url, code.ref or "(default branch)", code.sha)
        config = experiment.read_yaml(code.folder / options.config, options.config_path)

        login = worker.determined
        client = mlde.connect(login.master, login.user, login.password)
        wanted_pool = options.resource_pool or str((config.get("resources") or {}).get("resource_pool") or "")
        pool = mlde.choose_pool(mlde.pools(client), wanted_pool)
        config, profile = experiment.with_profile(config, code.folder, options.profile, pool)
        log.info("resource pool: %s (%s), profile: %s", pool.name, "GPU" if pool.has_gpu else "CPU", profile or "none")

        config = experiment.with_classes(config, options.classes)
        classes = experiment.classes_of(config)
        task.check_commit(worker.pfs / options.input_name, config)
        model = mlde.ensure_model(
            client,
            options.model,
            labels=[worker.pipeline, options.repo],
            metadata={"pipeline": worker.pipeline, "repository": options.repo, "project": project},
        )
        warm = None
        if options.incremental:
            net = task.architecture(config)
            warm = find_warm_start(model, net, classes, project=project, repo=options.repo, commit=commit, job=job)
        config = experiment.fill(
            config,
            experiment.PachydermBlock(
                host=pachd.host,
                port=pachd.port,
                project=project,
                repo=options.repo,
                branch=commit,
                token=pachd.token,
                previous_commit=warm.commit if warm else "",
            ),
            labels=[options.repo, job, worker.pipeline],
            pool=pool.name,
            workspace=options.workspace,
            project=options.experiment_project,
            warm_start=warm.checkpoint if warm else "",
        )
        experiment.check(config, pool, options.config_path)
        mlde.check_project(client, str(config.get("workspace") or ""), str(config.get("project") or ""))

        context = experiment.build_context(code.folder, Path(scratch) / "context", task.modules, code.handler)
        number, warm = experiment_run.start(client, config, context, worker, warm)
        experiment_run.wait_until_completed(client, number, config, options.timeout)
    training = Training(
        job, worker.pipeline, project, options.repo, commit, code, config, classes, task, experiment=number, warm=warm
    )
    checkpoint, info = register(client, model, training)
    publish(checkpoint, info, worker.out)
    return info


if __name__ == "__main__":
    sys.exit(main())
