"""The check at the end of each notebook: tutor for a person, assertion for a headless run.

A check looks at the cluster and never at the notebook's variables, so that it says the same tomorrow. It knows three
answers: ``ok``, ``not yet`` (something earlier has to be done first) and ``wrong`` (it is there, but not as it should
be), each with the next thing to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb import mlde, mldm
from pdk_nb.errors import CheckFailed, PdkError
from pdk_nb.record import is_headless, record
from pdk_nb.report import Note

if TYPE_CHECKING:
    from pdk_nb.lab import Lab

Findings = Iterator[Note]


def check(lab: Lab, notebook: str, **facts: Any) -> None:
    """Show a notebook's findings; raise when one is not ok and nobody is there to read it.

    Args:
        lab: The lab.
        notebook: Number of the notebook, e.g. ``03``.
        facts: What the notebook measured and its check judges, e.g. ``min_accuracy``.

    Raises:
        CheckFailed: A finding is not ok, in a headless run.
        PdkError: There is no such check.
    """
    from IPython.display import display

    if notebook not in CHECKS:
        raise PdkError(f"There is no check {notebook}.", fix=f"Use one of: {', '.join(CHECKS)}")
    found = []
    try:
        for note in CHECKS[notebook](lab, **facts):
            found.append(note)
    except PdkError as error:
        found.append(Note("wrong", error.what, error.fix))
    for note in found:
        record("check", notebook=notebook, state=note.state, text=note.text, fix=note.fix)
        display(note)
    failed = [note for note in found if note.state != "ok"]
    if failed and is_headless():
        raise CheckFailed(failed[0].text, where=f"check {notebook}", fix=failed[0].fix)


def expect(condition: bool, good: str, bad: str, fix: str, *, state: str = "wrong") -> Note:
    """``ok`` with one sentence, or another state with another sentence and what to do."""
    return Note("ok", good) if condition else Note(state, bad, fix)


def check_environment(lab: Lab) -> Findings:
    """00: every required setting is there and every platform answers."""
    from pdk_nb.chapters import environment

    missing = lab.settings.missing
    yield expect(
        not missing,
        f"All required values are in {lab.settings.namespace}/pdk-config and the pipeline secret.",
        f"Values are missing: {', '.join(missing)}.",
        f"kubectl -n {lab.settings.namespace} edit configmap pdk-config",
    )
    for row in environment.preflight(lab).rows:
        yield expect(row[1] == "ok", f"{row[0]}: {row[2]}", f"{row[0]}: {row[2]}", f"Look at {row[3]}.")


def check_setup(lab: Lab) -> Findings:
    """01: project, repo and both pipelines exist, and none of the pipelines has failed."""
    names = lab.names
    present = mldm.repos(lab.pachyderm, names.project)
    yield expect(
        names.data_repo in present,
        f"Repo {names.project}/{names.data_repo} is there.",
        f"Repo {names.project}/{names.data_repo} is not there.",
        "Run the cell with lab.create_projects().",
        state="not yet",
    )
    pipelines = mldm.pipelines(lab.pachyderm, names.project)
    for name in (names.train_pipeline, names.deploy_pipeline):
        state, reason = pipelines.get(name, ("missing", ""))
        if state == "missing":
            yield Note("not yet", f"Pipeline {name} is not there.", "Run the cell with lab.create_pipelines().")
            continue
        yield expect(
            state not in ("FAILURE", "CRASHING"),
            f"Pipeline {name} is {state.lower()}.",
            f"Pipeline {name} is {state.lower()}: {reason}",
            f"pachctl inspect pipeline {name} --project {names.project}",
        )
    mlde.check_project(lab.determined, names.workspace, names.experiment_project)
    yield Note("ok", f"Determined has {names.workspace}/{names.experiment_project}.")


def check_data(lab: Lab, minimum: int = 2) -> Findings:
    """02: the newest commit holds pictures of every class and nothing else."""
    from pdk_nb.photos import ignored

    commit = lab.latest_commit()
    paths = mldm.files(lab.pachyderm, mldm.commit_of(lab.names.project, lab.names.data_repo, id=commit))
    strange = [path for path in paths if ignored(path)]
    yield expect(
        len(paths) - len(strange) >= 2 * minimum,
        f"Commit {commit} holds {len(paths)} pictures in {len({path.split('/')[1] for path in paths})} folder(s).",
        f"Commit {commit} holds {len(paths)} files, too few to learn from.",
        "Commit more pictures with lab.commit().",
    )
    yield expect(
        not strange,
        "Every file of it is a picture.",
        f"{len(strange)} files are no pictures: {', '.join(strange[:3])}",
        "Training skips them; delete them with pachctl delete file to have them out.",
    )


def check_training(lab: Lab, min_accuracy: float = 0.0) -> Findings:
    """03: the newest commit has a finished job and a model version of its name, good enough."""
    commit = lab.latest_commit()
    trail = lab.trail(commit)
    fix = "Run notebook 03: it waits for the train job."
    yield expect(
        trail.train is not None and trail.train.state == "SUCCESS",
        f"The train job of {commit} succeeded.",
        f"The train job of {commit} is {trail.train.state.lower() if trail.train else 'not there'}.",
        fix,
        state="not yet",
    )
    version = mlde.version_for_commit(lab.determined, lab.names.model, commit)
    if version is None:
        yield Note("not yet", f"Model {lab.names.model} has no version named {commit}.", fix)
        return
    yield Note("ok", f"Model {lab.names.model} has version {version.model_version}, named like the commit.")
    accuracy = validation_accuracy(version)
    if accuracy is None:
        yield Note("wrong", "The checkpoint has no validation accuracy.", "Look at the experiment's log.")
        return
    yield expect(
        accuracy >= min_accuracy,
        f"Accuracy on the hold-out is {accuracy:.3f} (at least {min_accuracy} wanted).",
        f"Accuracy on the hold-out is {accuracy:.3f}; at least {min_accuracy} is wanted.",
        "Commit more pictures, or train longer (const.yaml).",
    )


def validation_accuracy(version: Any) -> float | None:
    """Validation accuracy of a registered version's checkpoint."""
    training = getattr(version.checkpoint, "training", None) if version.checkpoint else None
    metrics = getattr(training, "validation_metrics", None) or {}
    values = metrics.get("avgMetrics") or metrics.get("avg_metrics") or metrics
    value = values.get("accuracy") if isinstance(values, dict) else None
    if value is None:
        metric = (version.metadata or {}).get("metric") or {}
        value = metric.get("value") if metric.get("name") == "accuracy" else None
    return float(value) if value is not None else None


def check_deployment(lab: Lab) -> Findings:
    """04: the service is ready with the model of the newest commit."""
    from pdk_nb.chapters import deployment

    commit = lab.latest_commit()
    found = deployment.service(lab)
    if found is None:
        yield Note("not yet", f"There is no InferenceService {lab.names.service}.", "Run notebook 04: it waits for it.")
        return
    yield expect(
        found.ready,
        f"{found.url} is ready.",
        f"{lab.names.service} is not ready: {found.summary()}",
        f"kubectl -n {found.namespace} describe inferenceservice {found.name}",
    )
    yield expect(
        found.version == commit,
        f"It serves the model of {commit}.",
        f"It serves the model of {found.version}, not of {commit}.",
        "Wait for the deploy job, or roll forward with lab.serve_version().",
    )


def check_predictions(lab: Lab, pictures: list[Path] | None = None, min_right: int = 5) -> Findings:
    """05: the service answers; for the lab's own pets cat.json is a cat (1), dog.json a dog (0).

    Args:
        lab: The lab.
        pictures: Other pictures than the lab's own, from the data that the model was trained with.
        min_right: How many of the pictures have to be right.
    """
    from pdk_nb import serving
    from pdk_nb.chapters import prediction

    target = serving.endpoint(lab.settings, lab.names.service)
    for name, index in (("cat.json", 1), ("dog.json", 0)):
        request = json.loads(lab.sample(name).read_text())
        answer = serving.predict(target, images=request, detail=False)[0]
        if pictures is not None:
            # A model that learned from other pictures need not know drawn pets; it has to answer.
            yield expect(
                answer.index is not None,
                f"{name} is answered with class {answer.index}.",
                f"{name} is not answered: {answer.error}",
                "Look at the log of the service's pod.",
            )
            continue
        yield expect(
            answer.index == index,
            f"{name} is class {index}.",
            f"{name} is class {answer.index}, not {index}.",
            "Train with more pictures; a model that has seen few guesses.",
        )
    classes = prediction.served_classes(lab)
    answers = prediction.ask(lab, prediction.samples(lab, "", "") if pictures is None else pictures)
    right = sum(
        answer.label == prediction.expected_label(f"{path.parent.name}/{path.name}", classes)
        for path, answer in answers
    )
    yield expect(
        right >= min_right,
        f"{right} of {len(answers)} sample pictures are right.",
        f"Only {right} of {len(answers)} sample pictures are right; {min_right} are wanted.",
        "Train with more pictures.",
    )


def check_second_arrival(lab: Lab) -> Findings:
    """06: the model has two versions, and the service answers with the newest commit's."""
    model = mlde.find_model(lab.determined, lab.names.model)
    count = len(mlde.versions(model)) if model is not None else 0
    yield expect(
        count >= 2,
        f"Model {lab.names.model} has {count} versions.",
        f"Model {lab.names.model} has {count} version(s); the second arrival makes another.",
        "Commit the second arrival.",
        state="not yet",
    )
    yield from check_deployment(lab)


def check_clean(lab: Lab) -> Findings:
    """99: nothing that carries the lab's names is left."""
    plan = lab.clean_up_plan()
    yield expect(
        not plan,
        "Nothing of the lab is left on the cluster.",
        f"{len(plan.steps)} things are left: {', '.join(step.name for step in plan.steps[:4])}",
        "Run the cell with lab.clean_up(plan) again.",
    )


CHECKS: dict[str, Callable[..., Findings]] = {
    "00": check_environment,
    "01": check_setup,
    "02": check_data,
    "03": check_training,
    "04": check_deployment,
    "05": check_predictions,
    "06": check_second_arrival,
    "99": check_clean,
}
