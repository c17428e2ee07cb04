"""Chapter 01: project, repo, workspace, storage access and both pipelines; a second run changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdk_nb import mlde, mldm, plots, serving, specs
from pdk_nb.chapters import deployment
from pdk_nb.report import Table

if TYPE_CHECKING:
    from pdk_nb.lab import Lab


PROJECT_DESCRIPTION = "PDK Lab"


def create_projects(lab: Lab) -> Table:
    """Create what is absent on each platform."""
    names, client = lab.names, lab.pachyderm
    rows: list[tuple[str, str, str]] = [
        ("Pachyderm project", names.project, mldm.ensure_project(client, names.project, PROJECT_DESCRIPTION)),
        (
            "Pachyderm repo",
            names.data_repo,
            mldm.ensure_repo(client, names.project, names.data_repo, "Pictures that models are trained with"),
        ),
    ]
    rows += _determined_project(lab)
    made = serving.ensure_service_account(lab.settings)
    rows.append(("Service account that reads models", specs.SERVICE_ACCOUNT, "created" if made else "unchanged"))
    return Table(("What", "Name", "Outcome"), rows)


def _determined_project(lab: Lab) -> list[tuple[str, str, str]]:
    names, client = lab.names, lab.determined
    workspaces = {each.name for each in client.list_workspaces()}
    workspace = mlde.ensure_workspace(client, names.workspace)
    projects = {each.name for each in workspace.list_projects()}
    mlde.ensure_project(client, names.workspace, names.experiment_project)
    return [
        ("Determined workspace", names.workspace, "unchanged" if names.workspace in workspaces else "created"),
        (
            "Determined project",
            names.experiment_project,
            "unchanged" if names.experiment_project in projects else "created",
        ),
    ]


def rendered(lab: Lab, **choices: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both specs, rendered for this cluster; empty choices leave the cluster's own values in force."""
    return specs.render_for(lab.settings, lab.names, **choices)


def create_pipelines(lab: Lab, **choices: Any) -> Table:
    """Create both pipelines, or update those whose spec has changed."""
    rows = []
    for spec in rendered(lab, **choices):
        name = spec["pipeline"]["name"]
        outcome = mldm.ensure_pipeline(lab.pachyderm, spec)
        rows.append((name, spec["input"]["pfs"]["repo"], spec["transform"]["image"], outcome))
    return Table(("Pipeline", "Starts with a commit in", "Image", "Outcome"), rows)


def draw_flow(lab: Lab) -> Any:
    """The stations from data repo to service, coloured by their states."""
    names = lab.names
    pipelines = mldm.pipelines(lab.pachyderm, names.project)
    head = mldm.head(lab.pachyderm, names.project, names.data_repo)
    service = deployment.service(lab)
    nodes = [("repo", names.data_repo, f"commit {head[:8]}" if head else "empty")]
    for name in (names.train_pipeline, names.deploy_pipeline):
        nodes.append(("pipeline", name, pipelines.get(name, ("missing", ""))[0]))
    nodes.append(
        ("service", names.service, "not there" if service is None else "ready" if service.ready else "not ready")
    )
    return plots.flow(nodes, f"Project {names.project}")
