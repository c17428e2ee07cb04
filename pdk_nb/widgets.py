"""The prediction panel: upload a picture, see its class. A thin view over one function.

``panel.submit(path)`` sets the upload from the kernel and so runs exactly what a person's upload runs; the result is
shown with ``display`` as well, because a saved notebook keeps no widgets.
"""

from __future__ import annotations

import io
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
from IPython.display import display

from pdk_nb import plots, serving
from pdk_nb.chapters.prediction import expected_label, pictures_in, remember
from pdk_nb.errors import PdkError, PredictionError
from pdk_nb.photos import load_image, to_request
from pdk_nb.report import Note

if TYPE_CHECKING:
    from pdk_nb.lab import Lab
    from pdk_nb.predictions import Prediction

MAX_UPLOAD_BYTES = 50 << 20


class PredictionPanel:
    """Upload, sample gallery, answer.

    Args:
        lab: The lab.

    Attributes:
        last: The newest prediction; None before the first.
        error: What went wrong with the newest picture; empty when nothing did.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.last: Prediction | None = None
        self.error = ""
        self.name = ""
        self._figure: Any = None
        self.upload = ipywidgets.FileUpload(
            accept="image/*", multiple=False, description="Upload a picture", tooltip="JPEG, PNG, WebP … up to 50 MB"
        )
        self.upload.layout.width = "auto"
        self.upload.observe(self._uploaded, names="value")
        samples = [("Choose a sample picture", "")]
        if lab.sample("pred").is_dir():
            samples += [(path.name, str(path)) for path in pictures_in(lab.sample("pred"))]
        self.gallery = ipywidgets.Dropdown(options=samples, description="Sample", tooltip="Pictures of the lab")
        self.gallery.observe(self._chosen, names="value")
        self.status = ipywidgets.HTML("<p>Upload a picture or choose a sample.</p>")
        self.output = ipywidgets.Output()
        self.widget = ipywidgets.VBox([ipywidgets.HBox([self.upload, self.gallery]), self.status, self.output])
        self.widget.add_class("pdk-prediction-panel")
        self.status.add_class("pdk-prediction-status")

    def _ipython_display_(self) -> None:
        display(self.widget)

    def submit(self, picture: str | Path) -> None:
        """Upload a picture from the kernel, as a person does in the browser; then show the answer.

        Raises:
            PredictionError: The picture was refused or the service failed.
        """
        path = Path(picture)
        path = path if path.exists() else self.lab.sample(str(picture))
        content = path.read_bytes()
        self.upload.value = (
            {
                "name": path.name,
                "type": "image/*",
                "size": len(content),
                "content": memoryview(content),
                "last_modified": datetime.now(timezone.utc),
            },
        )
        if self.error:
            raise PredictionError(self.error, where=path.name)
        display(self._figure)

    def _uploaded(self, change: dict[str, Any]) -> None:
        for item in change["new"] or ():
            self._handle(str(item["name"]), bytes(item["content"]))
        if change["new"]:
            # An upload that stays in the widget would be saved inside the notebook.
            self.upload.value = ()

    def _chosen(self, change: dict[str, Any]) -> None:
        if change["new"]:
            path = Path(change["new"])
            self._handle(path.name, path.read_bytes())

    def _handle(self, name: str, content: bytes) -> None:
        """Predict one picture and show it; errors are shown in the panel."""
        self.error, self.name = "", name
        self.status.value = f"<p>Asking the service about {name} …</p>"
        try:
            if len(content) > MAX_UPLOAD_BYTES:
                raise PredictionError(f"{name} has {len(content) >> 20} MB; at most 50 MB are taken.")
            self.last = serving.predict(self.lab.settings, self.lab.names.service, [content])[0]
            if self.last.error:
                raise PredictionError(self.last.error, where=name)
        except PdkError as error:
            self.error = error.what
            self.status.value = Note("wrong", error.what, error.fix)._repr_html_()
            return
        remember(name, expected_label(name), self.last.label)
        self._show(name, content, self.last)

    def _show(self, name: str, content: bytes, answer: Prediction) -> None:
        score = answer.score or 0.0
        caption = f"{name}: {answer.label} ({score:.1%})"
        self._figure = plots.prediction(load_image(content), answer.scores, caption)
        self.status.value = (
            f"<p><b>{answer.label}</b>, {score:.1%} sure. Model {answer.model} version {answer.version[:12]}…, "
            f"{1000 * answer.seconds:.0f} ms.</p>"
        )
        picture = io.BytesIO()
        self._figure.savefig(picture, format="png", dpi=110)
        request = json.dumps(to_request([content]))
        details = ipywidgets.HTML(
            "<details><summary>What was sent and what came back</summary>"
            f"<pre>{request[:70]} … ({len(request):,} characters)\n\n{json.dumps(answer.raw, indent=1)}</pre>"
            f"<pre>{serving.curl_command(self.lab.settings, self.lab.names.service, 'cat.json')}</pre></details>"
        )
        shown = ipywidgets.Image(value=picture.getvalue(), format="png")
        shown.layout.max_width = "620px"
        self.output.outputs = ()
        with self.output:
            display(shown, details)
