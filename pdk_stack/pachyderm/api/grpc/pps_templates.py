"""The PPS call that renders pipeline specs from a Jsonnet template (``src/internal/pachtmpl``)."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.errors import Fault


class TemplateCalls:
    """Calls about templates."""

    def RenderTemplate(self, request: pps_pb2.RenderTemplateRequest, call: Call) -> pps_pb2.RenderTemplateResponse:
        text = render(request.template, dict(request.args))
        content = json.loads(text)
        if not isinstance(content, dict | list):
            raise Fault(f"not a json object or list: {text.strip()}")
        found = content if isinstance(content, list) else [content]
        return pps_pb2.RenderTemplateResponse(json=text, specs=[_spec(each) for each in found])


def _spec(content: Any) -> pps_pb2.CreatePipelineRequest:
    try:
        return json_format.ParseDict(content, pps_pb2.CreatePipelineRequest())
    except json_format.ParseError as error:
        raise Fault(f"the template gives no pipeline spec: {error}") from error


def render(template: str, arguments: dict[str, str]) -> str:
    """Evaluate a template: a function of its arguments, or a plain value.

    Args:
        template: The template's text.
        arguments: The arguments of the function.

    Raises:
        Fault: The evaluation fails.
    """
    # Imported here, because few clients send templates.
    import _gojsonnet

    imported: list[str] = []

    def refuse(folder: str, path: str) -> tuple[str, bytes]:
        """Note an import: a client's template must not read files of this machine."""
        imported.append(path)
        return path, b"null"

    try:
        text = str(_gojsonnet.evaluate_snippet("main", template, tla_vars=arguments, import_callback=refuse))
    except RuntimeError as error:
        if not imported:
            raise Fault(f"template err: {error}") from error
    # An error that the callback raises reaches us with bytes that aren't its own.
    if imported:
        raise Fault(f"template err: imports are not done by the embedded Pachyderm: {imported[0]}")
    return text
