"""The prediction panel as a form: a slider for a number, a dropdown for a category, and which columns moved the
answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets
from IPython.display import display

from pdk_nb import tasks
from pdk_nb.headless import log_event
from pdk_nb.panel.answer import bars, title, version_name
from pdk_nb.panel.status import StatusLine
from pdk_nb.panel.styles import Html, escape, style_element
from pdk_nb.platforms import serving
from pdk_nb.platforms.serving import predictions
from pdk_nb.platforms.serving.predictions import Endpoint, Prediction
from pdk_nb.tasks.tabular.rows import layout_of
from pdk_shared.errors import PdkError, PredictionError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["FormPanel", "effects_of"]

WELCOME = "Set the columns, and ask the model."
# Steps of a slider of a column that names none.
STEPS = 100
# One below the other: all controls begin in the same place, and are as wide as the page allows.
LOOK: dict[str, Any] = {"layout": {"width": "min(620px, 100%)"}, "style": {"description_width": "min(12em, 45%)"}}


def effects_of(answer: Prediction) -> dict[str, float]:
    """By how much each column raised the probability of the answer; empty when the model doesn't say.

    Args:
        answer: An answer with details, in either protocol.
    """
    raw = answer.raw
    if isinstance(raw, str):
        raw = json.loads(raw)
    found = raw.get("effects") if isinstance(raw, Mapping) else None
    return {str(name): float(value) for name, value in (found or {}).items()}


class FormPanel:
    """A control for each column, and the answer.

    Args:
        session: The session.
        samples: Rows to fill the form with, the first one at once; the lab's own when empty.

    Attributes:
        last: The newest answer; None before the first.
        view: What the panel shows; None before the first answer.
    """

    def __init__(self, session: Session, samples: Sequence[Any] = ()) -> None:
        self.session = session
        self.last: Prediction | None = None
        self.view: Html | None = None
        rows = list(samples) or list(tasks.for_lab(session).samples(session, ""))
        self.controls = {str(column["name"]): _control(column) for column in layout_of(session).columns}
        self.samples = ipywidgets.Dropdown(
            options=[("a sample row …", None), *((row.key, row) for row in rows)],
            description="Fill in",
            tooltip="A row that the model wasn't trained with",
        )
        self.samples.observe(self._chosen, names="value")
        self.button = ipywidgets.Button(description="Ask the model", tooltip="Sends this row to the service")
        self.button.on_click(lambda _: self._ask())
        self.status = StatusLine()
        self.answer = ipywidgets.HTML()
        self.widget = ipywidgets.VBox(
            [
                ipywidgets.HTML(style_element()),
                ipywidgets.VBox(list(self.controls.values())),
                ipywidgets.HBox([self.samples, self.button]),
                self.status,
                self.answer,
            ]
        )
        self.widget.add_class("pdk-panel")
        self.widget.children[2].add_class("pdk-controls")
        self.fill(rows[0].values)
        self.status.say(WELCOME)

    @property
    def error(self) -> PdkError | None:
        """The last error; None after a success."""
        return self.status.error

    def _ipython_display_(self) -> None:
        display(self.widget)

    def _chosen(self, change: dict[str, Any]) -> None:
        if change["new"] is not None:
            self.fill(change["new"].values)

    @property
    def values(self) -> dict[str, Any]:
        """Value by column, as the form shows it."""
        return {name: control.value for name, control in self.controls.items()}

    def fill(self, values: Mapping[str, Any]) -> None:
        """Set the form's controls.

        Args:
            values: Value by column; other columns keep theirs.
        """
        for name, value in values.items():
            if name in self.controls:
                control = self.controls[name]
                if isinstance(control, ipywidgets.FloatSlider):
                    # A value beyond the slider's ends is still the row's value.
                    control.min, control.max = min(control.min, float(value)), max(control.max, float(value))
                control.value = value

    def submit(self, row: Any = None) -> None:
        """Ask from the kernel, as a person does in the browser, and show the result.

        Args:
            row: A row, or a mapping of value by column; what the form shows when None.

        Raises:
            PdkError: The service failed, or refuses the row.
        """
        if row is not None:
            self.fill(row.values if not isinstance(row, Mapping) else row)
        self._ask()
        if self.error:
            raise self.error
        if self.view is not None:
            display(self.view)

    def _ask(self) -> None:
        self.last = self.view = None
        self.answer.value = ""
        with self.status.working(self._busy):
            target = serving.endpoint(self.session.settings, self.session.names.service)
            answer = predictions.send(target, [{"data": self.values}], progress=self.status.waits)[0]
            if answer.error:
                raise PredictionError(f"The model has no answer: {answer.error}", where=target.service)
            self.last, self.view = answer, _view(self.values, answer, target)
            self.answer.value = f'<div class="pdk-view">{self.view.content}</div>'
            self.status.say(self.view.text, "pdk-ok")
            log_event("prediction", image="form", expected="", label=answer.label, correct=None)

    def _busy(self, busy: bool) -> None:
        self.button.disabled = busy


def _control(column: Mapping[str, Any]) -> ipywidgets.ValueWidget:
    name = str(column["name"])
    if column["kind"] == "category":
        return ipywidgets.Dropdown(options=list(column["values"]), description=name, tooltip=name, **LOOK)
    least, most = float(column["least"]), float(column["most"])
    step = float(column.get("step") or (most - least) / STEPS)
    return ipywidgets.FloatSlider(
        value=least + round((most - least) / 2 / step) * step,
        min=least,
        max=most,
        step=step,
        readout_format="d" if step.is_integer() else ".1f",
        description=f"{name} ({column['unit']})" if column.get("unit") else name,
        tooltip=name,
        **LOOK,
    )


def _view(values: Mapping[str, Any], answer: Prediction, target: Endpoint) -> Html:
    """The answer, its probabilities, and what moved it."""
    effects = sorted(effects_of(answer).items(), key=lambda each: -abs(each[1]))
    body = json.dumps({"instances": [{"data": dict(values)}]}, indent=1)
    content = (
        '<div class="pdk-card">'
        f'<p class="pdk-verdict"><b>{escape(answer.label)}</b> {answer.score:.1%}</p>{bars(answer)}'
        f"{title(f'What moved the answer to {answer.label}, compared with an average row')}{_effects(effects, values)}"
        f'<p class="pdk-facts">{escape(version_name(answer))}; answered in {1000 * answer.seconds:.0f} ms</p>'
        f"<details><summary>Request and answer</summary>{title(f'POST {target.url} (Host: {target.host})')}"
        f'<pre tabindex="0">{escape(body)}</pre>{title("The answer")}'
        f'<pre tabindex="0">{escape(json.dumps(answer.raw, indent=1))}</pre></details></div>'
    )
    strongest = ", ".join(f"{name} {effect:+.0%}" for name, effect in effects[:3])
    moved = f"; moved by {strongest}" if strongest else ""
    return Html(content, f"{answer.label} {answer.score:.1%} by {version_name(answer)}{moved}")


def _effects(effects: Sequence[tuple[str, float]], values: Mapping[str, Any]) -> str:
    """Effects as bars, each with its sign and value as text."""
    highest = max((abs(effect) for _, effect in effects), default=0.0) or 1.0
    rows = []
    for name, effect in effects:
        toward = ' class="pdk-best"' if effect > 0 else ""
        fill = f'<span class="pdk-fill" style="width:{abs(effect) / highest:.1%}"></span>'
        rows.append(
            f"<li{toward}><span>{escape(name)} = {escape(_short(values.get(name, '')))}</span>"
            f'<span class="pdk-track" aria-hidden="true">{fill}</span>'
            f'<span class="pdk-percent">{effect:+.1%}</span></li>'
        )
    return f'<ul class="pdk-bars pdk-effects" aria-label="Effects of the columns">{"".join(rows)}</ul>'


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
