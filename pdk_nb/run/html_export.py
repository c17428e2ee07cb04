"""Executed notebooks as offline HTML pages: one for each notebook, and a gallery of all."""

from __future__ import annotations

import html
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdk_nb.headless import score
from pdk_shared.errors import UsageError

__all__ = ["IMAGES", "export_gallery", "export_html", "notebook_html"]

# Folder next to the notebooks with the pictures of their text.
IMAGES = "images"
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif; max-width: 62em;
  margin: 0 auto; padding: 2em 1.2em; color: #222; background: #fff; }
h1 { line-height: 1.2; } a { color: #0b62a4; }
ul.gallery { list-style: none; padding: 0; display: grid; gap: 1em;
  grid-template-columns: repeat(auto-fill, minmax(18em, 1fr)); }
ul.gallery li { border: 1px solid #8886; border-radius: 10px; padding: 1em 1.1em; }
ul.gallery h2 { font-size: 1.05em; margin: 0 0 .4em; } .faint { opacity: .75; font-size: .92em; }
img { max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #16181b; } a { color: #6db7f2; } }
"""
# JupyterLab's colors in nbconvert's template: one rule with variables.
DARK_THEME = "static/theme-dark.css"
# What JupyterLab's colors leave too faint to read (WCAG 2 asks for a contrast of 4.5), and links in a sentence.
READABLE = """
:root { color-scheme: light dark; --jp-cell-prompt-not-active-opacity: 1; --jp-mirror-editor-comment-color: #35706f;
  --jp-mirror-editor-number-color: #067006; --jp-mirror-editor-operator-color: #9a1fe0; }
.jp-RenderedHTMLCommon :is(p, li) a:link { text-decoration: underline; }
"""
READABLE_DARK = """
:root { --jp-mirror-editor-comment-color: #7fbfbe; --jp-mirror-editor-number-color: #77cc77;
  --jp-mirror-editor-operator-color: #d08cff; }
"""
PANEL = "<p><i>JupyterLab shows an interactive panel here.</i></p>"
NAVIGATION = "padding:0.6em 1.2em;font:15px system-ui,sans-serif;display:flex;gap:1.5em;border-bottom:1px solid #8884"


def title_of(notebook: Any) -> str:
    """A notebook's first heading."""
    for cell in notebook.cells:
        found = re.match(r"# (.+)", cell.source) if cell.cell_type == "markdown" else None
        if found:
            return found.group(1).strip()
    return "Notebook"


def promise_of(notebook: Any) -> str:
    """The bold sentence below a notebook's first heading; empty when there is none."""
    found = re.search(r"^\*\*(.+)\*\*$", notebook.cells[0].source, re.M) if notebook.cells else None
    return found.group(1) if found else ""


def notebook_html(executed: Path, navigation: str = "") -> str:
    """An executed notebook as HTML.

    The default page loads scripts and fonts from other servers; a notebook without widgets doesn't need them.

    Args:
        executed: The notebook.
        navigation: HTML above the notebook.
    """
    import nbformat
    from nbconvert import HTMLExporter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        notebook = nbformat.read(str(executed), as_version=4)
        notebook.metadata.pop("widgets", None)
        described = [output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
        for output in described:
            if output["data"].pop("application/vnd.jupyter.widget-view+json", None):
                output["data"] = {"text/html": PANEL}
        exporter = HTMLExporter(
            template_name="lab", require_js_url="", mathjax_url="", language_code="en", embed_images=True
        )
        resources = {"metadata": {"name": title_of(notebook), "path": str(executed.parent)}}
        content, _ = exporter.from_notebook_node(notebook, resources)
        dark, _, _ = exporter.environment.loader.get_source(exporter.environment, DARK_THEME)
    # The lab template loads mermaid from a CDN; our notebooks don't use it.
    content = re.sub(r'<script type="module">.*?mermaid.*?</script>', "", content, flags=re.S)
    content = re.sub(r'<script[^>]+src="https?://[^"]*"[^>]*></script>', "", content)
    content = _with_alternatives(content, described)
    # The exporter knows one theme; a page follows the system's, as JupyterLab can.
    style = f"<style>{READABLE} @media (prefers-color-scheme: dark) {{ {dark} {READABLE_DARK} }}</style>"
    content = content.replace("</head>", f"{style}</head>", 1)
    return re.sub(r"(<body[^>]*>)", lambda found: found.group(1) + navigation, content, count=1)


def _with_alternatives(content: str, outputs: list[Any]) -> str:
    """Give pictures the descriptions from their outputs, in place of the exporter's placeholder."""
    texts = [
        str(each["metadata"]["image/png"].get("alt") or "")
        for each in outputs
        if "image/png" in each["data"] and isinstance(each.get("metadata", {}).get("image/png"), Mapping)
    ]
    waiting = iter(texts)
    return re.sub(
        r'alt="No description has been provided for this image"',
        lambda found: f'alt="{html.escape(next(waiting, "") or "picture")}"',
        content,
    )


def export_html(executed: Path) -> Path:
    """Write an executed notebook as HTML next to it."""
    target = executed.with_suffix(".html")
    target.write_text(notebook_html(executed))
    return target


def export_gallery(run: Path, out: Path) -> Path:
    """All executed notebooks of a run as pages with an index.

    Args:
        run: Folder of a run.
        out: Folder for the pages; created if missing.

    Returns:
        The index.

    Raises:
        UsageError: There is no run in that folder.
    """
    import nbformat

    notebooks = sorted(run.glob("[0-9][0-9]-*.ipynb"))
    if not notebooks:
        raise UsageError("There are no executed notebooks.", where=str(run), fix="pdk-nb run, then pdk-nb gallery")
    out.mkdir(parents=True, exist_ok=True)
    entries = []
    for place, path in enumerate(notebooks):
        around = [notebooks[place - 1] if place else None, notebooks[place + 1] if path != notebooks[-1] else None]
        (out / f"{path.stem}.html").write_text(notebook_html(path, _navigation(*around)))
        notebook = nbformat.read(str(path), as_version=4)
        entries.append((path.stem, title_of(notebook), promise_of(notebook)))
    index = out / "index.html"
    index.write_text(_index(entries, _summary(run)))
    return index


def _navigation(before: Path | None, after: Path | None) -> str:
    links = ['<a href="index.html">All notebooks</a>']
    if before is not None:
        links.append(f'<a href="{before.stem}.html">← {before.stem}</a>')
    if after is not None:
        links.append(f'<a href="{after.stem}.html">{after.stem} →</a>')
    return f'<nav aria-label="Notebooks" style="{NAVIGATION}">{"".join(links)}</nav>'


def _summary(run: Path) -> dict[str, Any]:
    path = run / "summary.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _index(entries: list[tuple[str, str, str]], summary: Mapping[str, Any]) -> str:
    seconds = {each["name"]: each["seconds"] for each in summary.get("notebooks", [])}
    items = []
    for stem, title, promise in entries:
        took = f'<p class="faint">{seconds[stem]:.0f} s</p>' if stem in seconds else ""
        items.append(
            f'<li><h2><a href="{stem}.html">{html.escape(title)}</a></h2><p>{html.escape(promise)}</p>{took}</li>'
        )
    outcome = ""
    if summary:
        outcome = f"The run {summary['status']} in {summary['seconds']:.0f} s"
        first = summary.get("seconds_to_first_prediction")
        outcome += f", with the first prediction after {first:.0f} s" if first is not None else ""
        outcome += f"; {score(summary['predictions'])} predictions are right."
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>PDK Lab: the walkthrough</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        "<main><h1>PDK Lab: the walkthrough</h1>"
        "<p>Pachyderm, Determined, and KServe from Jupyter notebooks, as executed."
        f' {html.escape(outcome)}</p><ul class="gallery">{"".join(items)}</ul></main></body></html>'
    )
