"""A release: tag, files, and changelog fit; what it brings is listed; its workflows have few rights."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pdk_nb import RELEASE
from scripts import check_release, make_sbom

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHANGELOG = (
    "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-01-02\n\n### Added\n\n- A thing.\n\n[1.2.3]: https://x\n"
)
CODE = 'RELEASE = "1.2.3"\n'


@pytest.fixture
def built(tmp_path: Path) -> Path:
    for name in ("pdk_lab", "pdk_lab_stack"):
        for end in ("-py3-none-any.whl", ".tar.gz"):
            (tmp_path / f"{name}-1.2.3{end}").touch()
    return tmp_path


def test_a_release_whose_parts_fit_may_go_out(built: Path) -> None:
    assert check_release.problems("v1.2.3", built, CHANGELOG, CODE) == []
    assert check_release.notes(CHANGELOG, "1.2.3") == "### Added\n\n- A thing."


@pytest.mark.parametrize(
    ("tag", "said"),
    [("1.2.3", "isn't v<major>"), ("v1.2", "isn't v<major>"), ("v1.2.4", "lacks pdk_lab-1.2.4-py3-none-any.whl")],
)
def test_a_wrong_tag_is_refused(tag: str, said: str, built: Path) -> None:
    assert said in " ".join(check_release.problems(tag, built, CHANGELOG, CODE))


def test_what_is_missing_or_too_much_is_named(built: Path) -> None:
    (built / "pdk_lab-1.2.3.tar.gz").rename(built / "pdk_lab-1.2.3.dev1.tar.gz")
    said = check_release.problems("v1.2.3", built, "# Changelog\n\n## [Unreleased]\n", 'RELEASE = "1.2.2"\n')
    assert len(said) == 4
    for part in ("lacks pdk_lab-1.2.3.tar.gz", "holds pdk_lab-1.2.3.dev1.tar.gz", "another RELEASE", "[1.2.3]"):
        assert any(part in each for each in said), part


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## (.+)$", text, re.M)
    assert releases[0] == "[Unreleased]"
    for each in releases[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", each), each
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.M)) <= kinds


def test_the_release_is_one_that_a_registry_takes_as_a_tag() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", RELEASE)


class Installed:
    """A distribution of an environment."""

    def __init__(self, *requires: str) -> None:
        self.requires = list(requires)


def test_a_bill_of_materials_lists_what_an_installation_brings_and_no_more() -> None:
    known: dict[str, Any] = {
        "pdk-lab": Installed(
            "One>=1", "torch; extra == 'train'", "pytest; extra == 'dev'", "pdk-lab[train]; extra == 'all'"
        ),
        "one": Installed("two[more]", "pdk-lab", "absent; python_version < '3'"),
        "two": Installed("three; extra == 'more'"),
        "three": Installed(),
        "torch": Installed(),
        "pytest": Installed(),
    }
    assert make_sbom.closure("pdk-lab", ("all",), known) == {"pdk-lab", "one", "two", "three", "torch"}
    assert make_sbom.closure("pdk-lab", (), known) == {"pdk-lab", "one", "two", "three"}
    document = {
        "metadata": {},
        "components": [{"name": name, "bom-ref": name} for name in known],
        "dependencies": [{"ref": "one", "dependsOn": ["two", "pytest"]}, {"ref": "pytest"}, {"ref": "root"}],
    }
    made = make_sbom.part(document, "pdk-lab", {"pdk-lab", "one", "two"})
    assert made["metadata"]["component"]["name"] == "pdk-lab"
    assert [each["name"] for each in made["components"]] == ["one", "two"]
    assert made["dependencies"] == [{"ref": "one", "dependsOn": ["two"]}]


def test_the_closure_of_this_environment_has_the_clients() -> None:
    known = {make_sbom.canonicalize_name(each.metadata["Name"]): each for each in importlib.metadata.distributions()}
    found = make_sbom.closure("pdk-lab-stack", (), known)
    assert {"pdk-lab", "python-pachyderm", "determined", "torchserve", "protobuf"} <= found
    assert "schemathesis" not in found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "unknown"),
        ([{"expression": "MIT OR Apache-2.0"}], "MIT OR Apache-2.0"),
        ([{"license": {"name": "declared: a\nlong text"}}, {"license": {"id": "MIT"}}], "MIT"),
        ([{"license": {"name": "A license\nwith its whole text"}}], "A license"),
    ],
)
def test_a_license_is_one_line(given: list[dict[str, Any]], said: str) -> None:
    assert make_sbom.license_of({"licenses": given}) == said


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_ask_for_no_more_than_they_need(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert content["permissions"] in ({}, {"contents": "read"})
    for name, job in content["jobs"].items():
        granted = {right for right, level in job.get("permissions", {}).items() if level == "write"}
        runs_our_code = any("make" in step.get("run", "") or ".ci/run" in step.get("run", "") for step in job["steps"])
        assert not (granted and runs_our_code), f"{path.name}: {name} can write, and runs the repository's code"


def test_only_a_tag_publishes() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    for name in ("attest", "publish"):
        assert jobs[name]["if"] == "github.ref_type == 'tag'"
    assert "publish" in jobs["release"]["needs"] and "build" in jobs["publish"]["needs"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
