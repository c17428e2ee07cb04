"""A prediction request that warms up a model server."""

from __future__ import annotations

import base64
import functools
import io
import json


@functools.cache
def warm_up_body(protocol: str = "v1") -> bytes:
    """Return a prediction request with a small gray picture, valid for every image handler."""
    from PIL import Image

    picture = io.BytesIO()
    Image.new("RGB", (32, 32), (127, 127, 127)).save(picture, "JPEG")
    text = base64.b64encode(picture.getvalue()).decode()
    if protocol == "v1":
        return json.dumps({"instances": [{"data": text}]}).encode()
    return json.dumps({"inputs": [{"name": "picture", "shape": [1], "datatype": "BYTES", "data": [text]}]}).encode()
