"""One picture's answer: the predicted class, the probabilities, the request, and the response."""

from __future__ import annotations

import shlex

from pdk_nb.panel.picture_results import PictureResult, answer_text, request_text
from pdk_nb.panel.styles import Html, escape
from pdk_nb.platforms.serving import predictions
from pdk_nb.platforms.serving.predictions import Endpoint, Prediction
from pdk_shared.errors import PdkError


def error_html(error: PdkError) -> str:
    """An error as HTML: what happened, where, and how to fix it."""
    where = f'<br><span class="pdk-fix">Where: {escape(error.where)}</span>' if error.where else ""
    fix = f'<br><span class="pdk-fix">What to do: {escape(error.fix)}</span>' if error.fix else ""
    return f'<p class="pdk-message pdk-wrong"><b class="pdk-bad">Error</b>{escape(error.what)}{where}{fix}</p>'


def version_name(answer: Prediction) -> str:
    """Model and version of an answer, as text."""
    number = f" version {answer.number}" if answer.number else ""
    commit = f", commit {answer.version[:12]}…" if answer.version else ""
    return f"{answer.model or 'the model'}{number}{commit}"


def verdict(result: PictureResult) -> str:
    """Whether the answer matches the picture's name, as a colored word; empty when the name gives no class."""
    if result.right is None:
        return ""
    if result.right:
        return '<small class="pdk-good">✓ right</small>'
    return f'<small class="pdk-bad">✗ the name says {escape(result.expected)}</small>'


def label_of(answer: Prediction) -> str:
    """The predicted class; its index when the model returns no names."""
    return answer.label or f"class {answer.index}"


def headline(result: PictureResult, answer: Prediction) -> str:
    """The class in large letters, its probability, and whether it's right."""
    share = f"{answer.score:.1%}" if answer.scores else ""
    return f'<p class="pdk-verdict"><b>{escape(label_of(answer))}</b> {share} {verdict(result)}</p>'


def bars(answer: Prediction) -> str:
    """Probabilities as bars, each with its class and value as text."""
    rows = []
    for name, score in answer.scores.items():
        best = ' class="pdk-best"' if name == answer.label else ""
        fill = f'<span class="pdk-fill" style="width:{score:.1%}"></span>'
        rows.append(
            f"<li{best}><span>{escape(name)}</span>"
            f'<span class="pdk-track" aria-hidden="true">{fill}</span>'
            f'<span class="pdk-percent">{score:.1%}</span></li>'
        )
    return f'<ul class="pdk-bars" aria-label="Probabilities">{"".join(rows)}</ul>' if rows else ""


def curl_for(name: str, target: Endpoint) -> str:
    """The shell command that sends this file."""
    return f"pdk-nb img2json {shlex.quote(name)} | {predictions.curl_command(target, '-')}"


def title(text: str) -> str:
    """A title of a part: no heading, because the page around the panel decides which level would follow."""
    return f'<p class="pdk-title">{escape(text)}</p>'


def details(result: PictureResult, answer: Prediction, target: Endpoint) -> str:
    """Request, answer, and curl command, collapsed."""
    request = request_text(target, result.instance or {"data": ""})
    together = "" if result.alone else " (together with other pictures)"
    return (
        "<details><summary>Request, answer, and curl command</summary>"
        f"{title(f'POST {target.url} (Host: {target.host}){together}')}"
        f'<pre tabindex="0">{escape(request)}</pre>'
        f'{title("The answer for this picture")}<pre tabindex="0">{escape(answer_text(answer.raw))}</pre>'
        f'{title("In the folder of the picture")}<pre tabindex="0">{escape(curl_for(result.name, target))}</pre>'
        "</details>"
    )


def answer_view(result: PictureResult, target: Endpoint) -> Html:
    """One picture with its answer, or the reason why it has none."""
    answer = result.answer
    if answer is None:
        error = result.error or PdkError(f"{result.name} wasn't sent.")
        return Html(error_html(error), str(error))
    share = f"{answer.score:.1%}" if answer.scores else ""
    width, height = result.size
    content = (
        '<div class="pdk-card pdk-answer">'
        f'<figure><img src="{result.picture}" alt="{escape(result.name)}, the picture that was sent">'
        f"<figcaption>{escape(result.name)}, {width} × {height} pixels</figcaption></figure><div>"
        f"{headline(result, answer)}{bars(answer)}"
        f'<p class="pdk-facts">{escape(version_name(answer))}; answered in {1000 * answer.seconds:.0f} ms</p>'
        f"{details(result, answer, target)}</div></div>"
    )
    return Html(content, f"{result.name}: {label_of(answer)} {share} by {version_name(answer)}")
