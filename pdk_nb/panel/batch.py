"""Many pictures at once: a contact sheet, and a confusion matrix if their names give classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pdk_nb.panel.answer import error_html, label_of, version_name
from pdk_nb.panel.picture_results import PictureResult
from pdk_nb.panel.styles import Html, escape


def matrix(pictures: Sequence[PictureResult], title: str = "") -> str:
    """True classes against answers as a table; empty when no name gives a class."""
    counts: Counter[tuple[str, str]] = Counter()
    classes: list[str] = []
    for each in pictures:
        if each.answer is None:
            continue
        classes += [name for name in each.answer.scores if name not in classes]
        if each.expected:
            counts[(each.expected, each.answer.label)] += 1
    if not counts:
        return ""
    highest = max(counts.values())
    head = "".join(f'<th scope="col">says {escape(name)}</th>' for name in classes)
    rows = []
    for true in classes:
        cells = []
        for guess in classes:
            count = counts[(true, guess)]
            share = round(85 * count / highest)
            dark = ' class="pdk-dark"' if share > 50 else ""
            cells.append(f'<td{dark} style="--pdk-share:{share}%">{count}</td>')
        rows.append(f'<tr><th scope="row">shows {escape(true)}</th>{"".join(cells)}</tr>')
    return (
        f'<table class="pdk-matrix"><caption>{escape(title or "True classes (rows) and answers (columns)")}'
        f"</caption><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def tally(pictures: Sequence[PictureResult]) -> str:
    """The number of correct answers, as a sentence."""
    known = [each for each in pictures if each.right is not None]
    answered = sum(each.answer is not None for each in pictures)
    text = f"{answered} of {len(pictures)} pictures answered"
    if known:
        right = sum(bool(each.right) for each in known)
        text += f"; {right} of {len(known)} right ({right / len(known):.0%})"
    silent = answered - len(known)
    return text + (f"; {silent} without a class in the name" if silent else "")


def _figure(each: PictureResult) -> str:
    if each.answer is None:
        error = each.error.what if each.error else "not sent"
        return (
            f'<figure class="pdk-off"><b class="pdk-bad">no answer</b>'
            f"<figcaption>{escape(each.name)}<br>{escape(error)}</figcaption></figure>"
        )
    mark, outline = "", ""
    if each.right is not None:
        mark = (
            '<span class="pdk-good">✓</span>'
            if each.right
            else f'<span class="pdk-bad">✗ {escape(each.expected)}</span>'
        )
        outline = "" if each.right else ' class="pdk-off"'
    share = f"{each.answer.score:.0%}" if each.answer.scores else ""
    return (
        f'<figure{outline}><img src="{each.picture}" alt="{escape(each.name)}">'
        f"<div><b>{escape(label_of(each.answer))}</b> {share} {mark}</div>"
        f"<figcaption>{escape(each.name)}</figcaption></figure>"
    )


def batch_view(pictures: Sequence[PictureResult]) -> Html:
    """All pictures of one upload."""
    versions = sorted({version_name(each.answer) for each in pictures if each.answer})
    errors = {str(each.error): each.error for each in pictures if each.error is not None}
    messages = "".join(error_html(error) for error in list(errors.values())[:3])
    summary = f"{tally(pictures)}. {'; '.join(versions)}"
    content = (
        f'{messages}<div class="pdk-card"><p><b>{escape(tally(pictures))}</b></p>'
        f'<p class="pdk-facts">{escape("; ".join(versions))}</p>{matrix(pictures)}'
        f'<div class="pdk-sheet">{"".join(_figure(each) for each in pictures)}</div></div>'
    )
    return Html(content, "\n".join([summary, *errors]))
