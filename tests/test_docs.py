"""The guides: every command of the lab parses, every link leads somewhere, every manifest is taken by the API."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes
import pytest
import yaml

from pdk_nb.cli import build_parser
from pdk_nb.doctor import GROUPS
from pdk_nb.settings import KEYS, load
from pdk_nb.specs import camel_case
from tests.support.reference import official_pipeline_schema

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "notebooks/START.md")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples-of-use").rglob("*.md"),
    ]
)
GUIDES = sorted((ROOT / "docs" / "cluster").glob("*.md"))
CHECKS = ROOT / "docs" / "cluster" / "checks.md"
# Pages that aren't about one platform, where a person starts with `config init`.
COMMON = ("README.md", "checks.md", "one-command.md", "tested.md")
PLATFORMS = [path for path in GUIDES if path.name not in COMMON]


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
        except SystemExit as ended:
            if ended.code:  # --help and --version end well
                pytest.fail(f"{page.name}: {command}\n{capsys.readouterr().err}")


def named(page: Path, command: str) -> set[str]:
    """The words that follow a command on a page, in shell blocks and in running text."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    text = "\n".join([*shell_lines(page), *re.findall(r"`([^`\n]+)`", prose)])
    return set(re.findall(rf"(?:^|[\s;&|(]){command} ([^\s;&|)]+)", text, re.M))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_target_of_make_and_every_program_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.M))
    assert {"run", "lab", "docs"} <= targets
    wanted = {word for word in named(page, "make") if re.fullmatch(r"[a-z-]+", word)}
    assert wanted <= targets, page.name
    for module in named(page, "python -m"):
        name = module.replace(".", "/")
        if name.split("/")[0] in ("pdk_nb", "pdk_stack", "benchmarks", "scripts", "tests"):
            # A name in angle brackets stands for each service.
            places = [place.replace("<service>", "pachyderm") for place in (f"{name}.py", f"{name}/__main__.py")]
            assert any((ROOT / place).is_file() for place in places), f"{page.name}: {module}"
    for program in named(page, "(?:python3?|bash)"):
        if program.endswith((".py", ".sh")) and "/" in program:
            assert (ROOT / program).is_file(), f"{page.name}: {program}"


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Subcommands of a parser by name and alias."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


# The client warns about its own names.
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_every_command_of_determined_exists() -> None:
    from determined.cli import cli

    parser = cli.make_parser()
    cli.cli.add_args(parser, cli.all_args_description)
    groups = subcommands(parser)
    found = set()
    sources = [*PAGES, *(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "pdk_nb").rglob("*.py")]
    for path in sources:
        # A command starts a line, a quotation, or what follows a shell's sign.
        for group, name in re.findall(
            r"(?:^|[`\"';&|(] ?)det (?:-m \S+ )?([a-z-]+) ([a-z][a-z-]+)", path.read_text(), re.M
        ):
            assert group in groups, f"{path.name}: det {group} {name}"
            assert name in subcommands(groups[group]), f"{path.name}: det {group} {name}"
            found.add((group, name))
    assert {("agent", "list"), ("experiment", "create"), ("user", "login")} <= found


def test_the_guides_use_the_commands() -> None:
    said = " ".join(command for page in GUIDES for command in lab_commands(page))
    for command in ("config init", "doctor", "images build", "images push", "storage prepare", "specs diff", "run"):
        assert f"pdk-nb {command}" in said
    for page in PLATFORMS:
        assert "pdk-nb config init --apply" in " ".join(lab_commands(page))


def test_keys_and_groups_that_the_guides_name_exist() -> None:
    keys = {key.name for key in KEYS}
    for page in GUIDES:
        for name in re.findall(r"--set ([a-z_]+)=", page.read_text()):
            assert name in keys, f"{page.name}: {name}"
    table = (ROOT / "docs" / "cluster" / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == list(GROUPS)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them; a repeated one gets a number."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    found: set[str] = set()
    for head in re.findall(r"^#+ (.+)$", text, re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head)
        base = re.sub(r"[^\w -]", "", plain).lower().replace(" ", "-")
        found.add(next(each for each in (base, *(f"{base}-{n}" for n in range(1, 99))) if each not in found))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    for file, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", text):
        target = page.parent / file if file else page
        if "reference" in Path(file).parts:
            continue  # generated with the site, which checks these links itself
        assert target.exists(), file
        if anchor:
            assert anchor in anchors(target), f"{file}#{anchor}"


def test_manifests_in_the_guides_are_taken_strictly(shared_stack: dict[str, str]) -> None:
    client = kubernetes.config.new_client_from_config(config_file=shared_stack["kubeconfig"])
    objects = kubernetes.client.CustomObjectsApi(client)
    found: list[dict[str, Any]] = [
        yaml.safe_load(text)
        for page in GUIDES
        for text in re.findall(r"<<EOF\n(apiVersion:.*?)^EOF", page.read_text(), re.S | re.M)
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


def test_pipelines_in_the_guides_are_as_pachyderms_schema_says() -> None:
    specs = re.findall(r"pachctl create pipeline -f - <<EOF\n(.*?)^EOF", CHECKS.read_text(), re.S | re.M)
    assert specs
    for spec in specs:
        checker = jsonschema.Draft4Validator(official_pipeline_schema())
        assert [error.message for error in checker.iter_errors(camel_case(json.loads(spec)))] == []


def test_platform_pages_have_only_commands_that_need_no_pdk_config_before_it_is_made() -> None:
    for page in PLATFORMS:
        before, _, after = page.read_text().partition("pdk-nb config init --apply")
        assert after
        assert "configmap pdk-config" not in before and "pipeline-secret" not in before, page.name


def script(page: Path, head: str) -> str:
    """The shell blocks under one head of a page."""
    part = re.split(rf"^## {head}$", page.read_text(), maxsplit=1, flags=re.M)[1].split("\n## ")[0]
    return "".join(re.findall(r"^```bash\n(.*?)^```", part, re.S | re.M))


def on_the_stack(text: str, stack: dict[str, str], folder: Path) -> str:
    """Run a page's commands as a person does, and stop at the first that fails; returns what they print."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": stack["kubeconfig"], "HOME": str(folder)}
    command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_determined_alone_is_checked_as_the_guide_says(shared_stack: dict[str, str], tmp_path: Path) -> None:
    variables = 'eval "$(pdk-nb config env)"\n'
    assert variables.strip() in CHECKS.read_text()
    said = on_the_stack(variables + script(CHECKS, "Determined"), shared_stack, tmp_path)
    assert "COMPLETED" in said and "hello" in said and "default" in said
    password = load(shared_stack["kubeconfig"]).det_password.reveal()
    assert password not in said


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("page", PLATFORMS, ids=lambda page: page.name)
def test_what_the_platform_pages_ask_kubernetes_can_be_asked(
    page: Path, shared_stack: dict[str, str], tmp_path: Path
) -> None:
    # Kinds and objects that the embedded cluster has none of; a cluster has.
    absent = ("storageclass", "get ingress", "pachyderm-proxy", "service pachd")
    asked = [found for line in shell_lines(page) for found in re.findall(r"kubectl (?:-n \S+ )?get [^|&;)]*", line)]
    assert asked
    for command in asked:
        if not any(word in command for word in absent):
            on_the_stack(command, shared_stack, tmp_path)
