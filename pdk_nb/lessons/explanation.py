"""Under the bonnet: the real object behind a step of the lab, its fields that matter, and other ways to reach it."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from pdk_nb.display.tables import Markup, Note, Table
from pdk_nb.headless import is_headless
from pdk_shared.errors import CheckFailed

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["Explanation"]

# The colors of JupyterLab's editor in the current theme; elsewhere, colors for a light page.
CODE_STYLE = """<style>
.pdk-object pre.pdk-code { font: 12px/1.5 var(--jp-code-font-family, ui-monospace, monospace);
  overflow-x: auto; margin: 0.4em 0; padding: 8px 10px;
  background: var(--jp-layout-color2, #f5f5f5); color: var(--jp-content-font-color1, #222); }
.pdk-code .nt, .pdk-code .na { color: var(--jp-mirror-editor-property-color, #05a); }
.pdk-code [class^="s"] { color: var(--jp-mirror-editor-string-color, #a11); }
.pdk-code [class^="m"], .pdk-code .kc { color: var(--jp-mirror-editor-number-color, #164); }
.pdk-code [class^="k"] { color: var(--jp-mirror-editor-keyword-color, #708); font-weight: 600; }
.pdk-code [class^="c"] { color: var(--jp-mirror-editor-comment-color, #666); font-style: italic; }
</style>"""


@dataclass(frozen=True)
class Explanation:
    """One real object, as its platform has it.

    Attributes:
        name: Number of its notebook and a word.
        title: What the object is, for people.
        read: Reads the object; plain data, written as YAML.
        fields: The fields that matter, as dotted paths, each with the reason why it is there.
        command: The command that shows the same object.
        same: What the notebook's cell with the official client must give, read by the lab itself.
    """

    name: str
    title: str
    read: Callable[[Session], Mapping[str, Any]]
    fields: Mapping[str, str]
    command: Callable[[Session], str]
    same: Callable[[Session], Any]

    def show(self, session: Session) -> Markup:
        """The object, foldable, with its fields and the command.

        Args:
            session: The session.
        """
        content = self.read(session)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100).rstrip()
        rows = [(path, _short(value_at(content, path)), why) for path, why in self.fields.items()]
        table = Table(("Field", "Here", "Why it is there"), rows)
        command = self.command(session)
        title = f"<b>{html.escape(self.title)}</b> ({len(text.splitlines())} lines)"
        page = (
            f'{CODE_STYLE}<div class="pdk-object"><details><summary>{title}</summary>'
            f"{_highlighted(text)}</details>{table._repr_html_()}"
            f'<p>In a terminal:</p><pre class="pdk-code">{html.escape(command)}</pre></div>'
        )
        return Markup(page, f"{self.title}\n{text}\n\n{table}\n\nIn a terminal:\n  {command}")

    def compare(self, session: Session, value: Any) -> Note:
        """Compare what an official client gave with what the lab reads.

        Args:
            session: The session.
            value: What the notebook's cell got from the client.

        Raises:
            CheckFailed: They differ, in a headless run.
        """
        expected = self.same(session)
        if value == expected:
            return Note("ok", f"The client says {_short(value)}, and so does the lab.")
        note = Note(
            "wrong",
            f"The client says {_short(value)}, but the lab says {_short(expected)}.",
            "Run the cells above again: something may have changed in between.",
        )
        if is_headless():
            raise CheckFailed(note.text, where=f"cell {self.name}", fix=note.fix)
        return note


def value_at(content: Any, path: str) -> Any:
    """The value at a dotted path; the first item of a list stands for all.

    Args:
        content: Plain data.
        path: Keys with dots between them, for example ``input.pfs.glob``. A key may have dots of its own.

    Raises:
        KeyError: There is no such field.
    """
    if not path:
        return content
    if isinstance(content, list):
        return value_at(content[0], path) if content else _missing(path)
    for key, rest in _splits(path):
        if isinstance(content, Mapping) and key in content:
            return value_at(content[key], rest)
    return _missing(path)


def _splits(path: str) -> Iterator[tuple[str, str]]:
    parts = path.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count]), ".".join(parts[count:])


def _missing(path: str) -> Any:
    raise KeyError(path)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 70 else f"{text[:60]} …"


def _highlighted(text: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers.data import YamlLexer

    return str(highlight(text, YamlLexer(), HtmlFormatter(nowrap=True))).join(
        ('<pre class="pdk-code" tabindex="0">', "</pre>")
    )
