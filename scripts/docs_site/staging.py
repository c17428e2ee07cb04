"""All pages of the site in one folder, with the outputs of the newest run and the generated reference."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from scripts.docs_site import api, commands, errors, settings

# Pages outside docs/ and notebooks/.
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
REFERENCE = Path("docs") / "reference"
EXTERNAL = re.compile(r"\bhttps?://[^\s<>\"'`)\]}\\]+")
# Addresses in examples: reserved names (RFC 2606, RFC 6761), placeholders, and this machine's own.
EXAMPLE = re.compile(
    r"^https?://([^/]*\.)?(example\.com|example|invalid|localhost|127\.0\.0\.1|[^/]*[<$…{][^/]*)([:/]|$)"
)


def stage(root: Path, target: Path, run: Path | None) -> list[str]:
    """Put the site's pages into a folder.

    Args:
        root: The checkout.
        target: The folder; its former content is deleted.
        run: Folder with executed notebooks, whose outputs the pages show; None for notebooks without outputs.

    Returns:
        The names of the notebooks that have outputs.
    """
    if target.exists():
        shutil.rmtree(target)
    for folder in ("docs", "notebooks", "cluster"):
        shutil.copytree(root / folder, target / folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    for name in (*PAGES, "LICENSE"):
        shutil.copyfile(root / name, target / name)
    for page in target.rglob("*.md"):
        page.write_text(without_html_comments(page.read_text()))
    executed = []
    for notebook in sorted((target / "notebooks").glob("*.ipynb")):
        if run is not None and (run / notebook.name).is_file():
            notebook.write_text(without_injected_parameters((run / notebook.name).read_text()))
            executed.append(notebook.name)
    for name, text in reference(root).items():
        (target / REFERENCE / name).parent.mkdir(parents=True, exist_ok=True)
        (target / REFERENCE / name).write_text(text)
    return executed


def without_injected_parameters(notebook: str) -> str:
    """An executed notebook without the cell that the run added: its paths are those of the machine that ran it."""
    content = json.loads(notebook)
    content["cells"] = [
        cell for cell in content["cells"] if "injected-parameters" not in cell.get("metadata", {}).get("tags", ())
    ]
    return json.dumps(content)


def without_html_comments(text: str) -> str:
    """A page without what only its editors read."""
    return re.sub(r"<!--.*?-->\n?", "", text, flags=re.S)


def reference(root: Path) -> dict[str, str]:
    """The generated pages by name, as Markdown."""
    pages = {
        "commands.md": commands.page(),
        "settings.md": settings.page(),
        "errors.md": errors.page(root),
        "api/index.md": api.index(),
    }
    return pages | {f"api/{module}.md": api.page(module) for module in api.MODULES}


def external_links(folder: Path) -> dict[str, list[str]]:
    """Addresses of other sites that the pages name, with the pages; addresses of examples are left out."""
    found: dict[str, set[str]] = {}
    for page in sorted(folder.rglob("*.md")):
        for address in EXTERNAL.findall(page.read_text()):
            address = address.rstrip(".,;:*")
            if not EXAMPLE.match(address):
                found.setdefault(address, set()).add(page.relative_to(folder).as_posix())
    return {address: sorted(pages) for address, pages in sorted(found.items())}
