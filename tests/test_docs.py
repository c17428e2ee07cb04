"""The guides: every command of the lab parses, every link leads somewhere, every manifest is taken by the API."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml

from pdk_nb.cli import build_parser
from pdk_nb.doctor import GROUPS
from pdk_nb.settings import KEYS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
GUIDES = sorted((ROOT / "docs" / "cluster").glob("*.md"))
PLATFORMS = [path for path in GUIDES if path.name != "README.md"]


def shell_lines(page: Path) -> list[str]:
    """The lines of a page's shell blocks, continued ones joined, comments gone."""
    blocks = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", page.read_text(), re.S | re.M)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines() if not line.lstrip().startswith("#")]


def lab_commands(page: Path) -> list[str]:
    """Every ``pdk-nb ...`` of a page, in shell blocks and in running text."""
    found = []
    for line in shell_lines(page):
        found += re.findall(r"(?:^|[;&|(]\s*|\$\()(pdk-nb [^;&|)]*)", line)
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    return found + re.findall(r"`(pdk-nb [^`]+)`", prose)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_the_lab_parses(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = build_parser()
    for command in lab_commands(page):
        words = [word for word in shlex.split(command)[1:] if word != "..."]
        if not words:
            continue
        try:
            parser.parse_args(words)
        except SystemExit:
            pytest.fail(f"{page.name}: {command}\n{capsys.readouterr().err}")


def test_the_guides_use_the_commands() -> None:
    said = " ".join(command for page in GUIDES for command in lab_commands(page))
    for command in ("config init", "doctor", "images build", "images push", "storage prepare", "specs diff", "run"):
        assert f"pdk-nb {command}" in said
    for page in PLATFORMS:
        assert "pdk-nb config init --apply" in " ".join(lab_commands(page))


def test_keys_and_groups_that_the_guides_name_exist() -> None:
    keys = {key.name for key in KEYS}
    for page in GUIDES:
        for name in re.findall(r"--set (\w+)=", page.read_text()):
            assert name in keys, f"{page.name}: {name}"
    table = (ROOT / "docs" / "cluster" / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == list(GROUPS)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
    for file, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        text = (page.parent / file).read_text() if file else page.read_text()
        heads = [
            re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.M)
        ]
        assert anchor in heads, f"{file}#{anchor}"


@pytest.mark.parametrize("page", PLATFORMS, ids=lambda page: page.name)
def test_manifests_in_the_guides_are_taken_strictly(page: Path, shared_stack: dict[str, str]) -> None:
    client = kubernetes.config.new_client_from_config(config_file=shared_stack["kubeconfig"])
    objects = kubernetes.client.CustomObjectsApi(client)
    found: list[dict[str, Any]] = [
        yaml.safe_load(text) for text in re.findall(r"<<EOF\n(apiVersion:.*?)^EOF", page.read_text(), re.S | re.M)
    ]
    assert found
    for body in found:
        group, version = body["apiVersion"].split("/")
        made = objects.create_namespaced_custom_object(
            group,
            version,
            body["metadata"]["namespace"],
            f"{body['kind'].lower()}s",
            body,
            dry_run="All",
            field_validation="Strict",
        )
        assert made["metadata"]["name"] == body["metadata"]["name"]
