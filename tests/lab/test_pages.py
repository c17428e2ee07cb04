"""Pages of executed notebooks: complete, titled, described, and asking nothing from outside."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from pdk_nb.display.diagrams import Graph, Node
from pdk_nb.run.html_export import export_gallery, notebook_html
from pdk_shared.errors import UsageError

# The smallest PNG: one transparent pixel.
PNG = base64.b64encode(
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")
).decode()
OUTSIDE = re.compile(
    r"""(?:src|href)=["']?(?:https?:)?//|(?:import|from)\s*\(?["']https?://|url\(["']?(?:https?:)?//|@import"""
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "images").mkdir()
    (folder / "images" / "where.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"/>')
    picture = new_output(
        "display_data", {"image/png": PNG, "text/plain": "x"}, metadata={"image/png": {"alt": 'curves of "trial" 1'}}
    )
    drawing = Graph([Node("a", "repo", "pets")], title="Project")
    drawn = new_output("display_data", drawing.draw()._repr_mimebundle_())
    widget = new_output(
        "display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "Panel()"}
    )
    for number, title in (("00-first", "00 · The first"), ("01-second", "01 · The second")):
        notebook = new_notebook(
            cells=[
                new_markdown_cell(f"# {title}\n\n**A promise.**\n\n![the way](images/where.svg)"),
                new_code_cell("1", outputs=[widget, picture, drawn]),
            ],
            metadata={"widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}}},
        )
        nbformat.write(notebook, folder / f"{number}.ipynb")
    summary = {
        "status": "passed",
        "seconds": 90.4,
        "seconds_to_first_prediction": 44.6,
        "notebooks": [{"name": "00-first", "seconds": 5.2}],
        "predictions": [{"correct": True}, {"correct": False}, {"correct": None}],
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_a_page_has_a_title_descriptions_and_its_pictures_inside(run: Path) -> None:
    content = notebook_html(run / "00-first.ipynb")
    assert "<title>00 · The first</title>" in content
    assert 'alt="curves of &quot;trial&quot; 1"' in content
    assert 'aria-label="Project: repo pets: waiting"' in content
    assert re.search(r'<img[^>]+alt="the way"[^>]+src="data:image/svg\+xml;base64,', content) or re.search(
        r'<img[^>]+src="data:image/svg\+xml;base64,[^>]+alt="the way"', content
    )
    assert 'lang="en"' in content
    assert "shows an interactive panel here" in content
    assert "Panel()" not in content
    assert "No description has been provided" not in content
    # In a dark system, JupyterLab's dark colors.
    dark = content.partition("prefers-color-scheme: dark")[2]
    assert "--jp-layout-color0: #111;" in dark


def test_the_gallery_links_its_pages_and_nothing_else(run: Path, tmp_path: Path) -> None:
    index = export_gallery(run, tmp_path / "gallery")
    pages = {each.name: each.read_text() for each in index.parent.glob("*.html")}
    assert set(pages) == {"index.html", "00-first.html", "01-second.html"}
    for name, content in pages.items():
        assert not OUTSIDE.search(content), (name, OUTSIDE.search(content))
        for target in re.findall(r'<a href="([^"#]+\.html)"', content):
            assert target in pages, (name, target)
    said = pages["index.html"]
    for words in ("The first", "A promise.", "5 s", "first prediction after 45 s", "1 of 2 predictions"):
        assert words in said, words
    assert 'href="01-second.html"' in pages["00-first.html"]
    assert 'href="00-first.html"' in pages["01-second.html"]


def test_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no executed notebooks"):
        export_gallery(tmp_path, tmp_path / "gallery")
