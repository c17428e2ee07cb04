"""The documentation site: the navigation holds every page, and the reference says what the code says."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from pdk_nb.cli import SECTIONS, build_parser
from pdk_shared.settings_keys import KEYS, SECRET_KEYS
from scripts.docs_site import api, commands, errors, settings
from scripts.docs_site.staging import external_links, stage

ROOT = Path(__file__).resolve().parents[1]


def tracked(*patterns: str) -> list[Path]:
    """Files that git knows; all of them where there is no git."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return [path for pattern in patterns for path in ROOT.glob(pattern)]
    return [ROOT / name for name in done.stdout.split() if (ROOT / name).is_file()]


def navigation() -> list[str]:
    """What the trees of the first page list, as paths from the repository's root, without suffix."""
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", (ROOT / "docs" / "index.md").read_text(), re.S | re.M)
    lines = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    named = [re.sub(r".*<(.*)>", r"\1", line) for line in lines]
    return [(Path("docs") / name).resolve().relative_to(Path().resolve()).as_posix() for name in named]


def test_the_navigation_holds_every_page_once() -> None:
    held = navigation()
    assert len(held) == len(set(held))
    pages = {path.relative_to(ROOT).with_suffix("").as_posix() for path in tracked("docs/**/*.md", "docs/*.md")}
    pages |= {path.relative_to(ROOT).with_suffix("").as_posix() for path in tracked("notebooks/*.ipynb")}
    pages |= {"notebooks/START", "README", "CHANGELOG", "CONTRIBUTING", "SECURITY"}
    pages.discard("docs/index")
    generated = {f"docs/reference/{name}" for name in ("commands", "settings", "errors", "api/index")}
    assert {each for each in held if each.startswith("docs/reference/")} == generated
    assert set(held) - generated == pages, "list the page in docs/index.md"


def test_every_command_is_in_the_reference() -> None:
    page = commands.page()

    def check(name: str, parser: argparse.ArgumentParser) -> None:
        assert re.search(rf"^#+ {re.escape(name)}$", page, re.M), name
        for action in parser._actions:
            if action.option_strings and action.dest != "help" and action.help != argparse.SUPPRESS:
                assert f"`{action.option_strings[-1]}" in page, f"{name} {action.option_strings[-1]}"
        for child, (each, _) in commands.subcommands(parser).items():
            check(f"{name} {child}", each)

    known = commands.subcommands(build_parser())
    assert set(known) == {name for names in SECTIONS.values() for name in names}
    for name, (parser, _) in known.items():
        check(f"pdk-nb {name}", parser)


def test_the_width_of_the_terminal_does_not_change_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    narrow = commands.page()
    monkeypatch.setenv("COLUMNS", "200")
    assert commands.page() == narrow


def test_every_setting_is_in_the_reference() -> None:
    page = settings.page()
    for name in (*(key.name for key in KEYS), *SECRET_KEYS):
        assert f"`{name}`" in page


def test_error_messages_are_read_from_the_code(tmp_path: Path) -> None:
    module = tmp_path / "pdk_nb" / "things.py"
    module.parent.mkdir()
    for other in ("pdk_shared", "pdk_stack"):
        (tmp_path / other).mkdir()
    module.write_text(
        "class PdkError(Exception):\n    '''Base.'''\n"
        "class OwnError(PdkError):\n    '''Own kind.'''\n"
        "def a(path, n):\n"
        "    raise OwnError(f'The file {path.name} has {n} lines.', where='x', fix=f'rm {path}')\n"
        "    raise OwnError('One of ' 'two parts ' + str(n))\n"
        "    raise ValueError('Not an error for people.')\n"
        "    raise OwnError(f'{n}')\n"
    )
    found = {each.what: each for each in errors.messages(tmp_path)}
    assert set(found) == {"The file <path> has <n> lines.", "One of two parts <n>"}
    assert found["The file <path> has <n> lines."].fix == "rm <path>"
    assert "`The file <path> has <n> lines.`\n: What to do: `rm <path>`" in errors.page(tmp_path)


def test_the_reference_has_the_errors_of_lab_and_stack() -> None:
    page = errors.page(ROOT)
    for what in (
        "The kubeconfig doesn't exist.",
        "The embedded stack is not running.",
        "the picture is empty (0 bytes)",
    ):
        assert what in page
    assert page.count("What to do:") > 150


@pytest.mark.parametrize("module", api.MODULES)
def test_modules_of_the_reference_exist_and_say_what_they_export(module: str) -> None:
    assert importlib.import_module(module).__doc__
    if module in api.PACKAGES:
        assert importlib.import_module(module).__all__


def test_pages_show_the_outputs_of_a_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    notebook = json.loads((ROOT / "notebooks" / "00-environment.ipynb").read_text())
    notebook["cells"].append({"cell_type": "markdown", "metadata": {}, "source": ["it ran"], "id": "x"})
    injected = {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]}, "source": ["x = '/own/path'"]}
    notebook["cells"].append(injected)
    (run / "00-environment.ipynb").write_text(json.dumps(notebook))
    executed = stage(ROOT, tmp_path / "source", run)
    assert executed == ["00-environment.ipynb"]
    page = (tmp_path / "source" / "notebooks" / "00-environment.ipynb").read_text()
    assert "it ran" in page and "/own/path" not in page
    assert (tmp_path / "source" / "docs" / "reference" / "api" / "pdk_nb.lab.md").is_file()


def test_links_to_other_sites_are_listed_without_addresses_of_examples(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "[x](https://kserve.github.io/website/), http://127.0.0.1:8888, https://git.example.com/x, `http://<host>:80`"
    )
    assert external_links(tmp_path) == {"https://kserve.github.io/website/": ["a.md"]}
