"""The TorchServe handler, loaded by TorchServe's own loader, in this process."""

from __future__ import annotations

import base64
import io
import json
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pdk_nb import photos
from tests.support.odd_pictures import odd_pictures
from tests.support.serving_tools import BLUE, RED, SIZE, model_folder, picture


class Metrics:
    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: None


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with warnings.catch_warnings():
        # TorchServe's package leaves its version file open.
        warnings.simplefilter("ignore", ResourceWarning)
        from ts.model_loader import ModelLoaderFactory

    folder = tmp_path_factory.mktemp("handler")
    mar = model_folder(folder / "served", "12") / "model-store" / "dogs-and-cats.mar"
    unpacked = folder / "unpacked"
    zipfile.ZipFile(mar).extractall(unpacked)
    sys.path.insert(0, str(unpacked))

    def load(envelope: str) -> Any:
        loader = ModelLoaderFactory.get_model_loader()
        return loader.load("dogs-and-cats", str(unpacked), "dog_cat_handler.py", None, 1, envelope, True, None)

    yield load
    sys.path.remove(str(unpacked))
    for name in ("preprocess", "dog_cat_handler"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def v1(loaded: Any) -> Any:
    return caller(loaded("kserve"))


def caller(service: Any) -> Any:
    from ts.context import RequestProcessor

    def call(body: Any) -> Any:
        service.context.request_ids = {0: "r"}
        service.context.request_processor = [RequestProcessor({})]
        service.context.metrics = Metrics()
        return service._entry_point([{"body": json.dumps(body).encode()}], service.context)[0]

    return call


def data(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_the_guides_shape_is_the_default(v1: Any) -> None:
    answer = v1({"instances": [{"data": data(RED)}, {"data": data(BLUE)}, {"data": data(RED)}]})
    assert answer == {"predictions": [1, 0, 1]}


def test_details_on_request_only_where_asked(v1: Any) -> None:
    rich, bare = v1({"instances": [{"data": data(RED), "detail": True}, {"data": data(BLUE)}]})["predictions"]
    assert bare == 0
    assert (rich["index"], rich["label"], rich["model"], rich["version"]) == (1, "cat", "dogs-and-cats", "12")
    assert set(rich["scores"]) == {"dog", "cat"}
    assert sum(rich["scores"].values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("instance", "reason"),
    [
        ({"data": "*" * 8}, "not base64"),
        ({"data": data(b"no picture")}, "cannot be read"),
        ({"data": data(RED[:60])}, "cannot be read"),
        ({}, "no picture"),
        ({"data": [[1, 2], [3]]}, "not an array"),
        ({"data": [[[0.0]]]}, "shape"),
        ({"data": 7}, "no picture"),
        ({"data": [[10**400]]}, "not an array"),
        ({"data": [[[1e300] * SIZE] * SIZE] * 3}, "not finite"),
        ({"data": ""}, "no picture"),
        ({"data": {"b64": "x"}}, "no picture"),
        (None, "no picture"),
        (7, "no picture"),
        ([], "no picture"),
        ("*", "not base64"),
    ],
)
def test_a_bad_row_gets_its_reason_and_the_others_their_answers(v1: Any, instance: Any, reason: str) -> None:
    answers = v1({"instances": [{"data": data(RED)}, instance, {"data": data(BLUE)}]})["predictions"]
    assert (answers[0], answers[2]) == (1, 0)
    assert reason in answers[1]["error"]


def test_all_kinds_of_pictures_are_read(v1: Any) -> None:
    kinds = [picture(200, "L"), picture((255, 0, 0, 255), "RGBA"), picture((0, 255, 255, 0), "CMYK", "JPEG")]
    kinds += [picture(1, "P"), picture(40000, "I;16")]
    answers = v1({"instances": [{"data": data(each)} for each in kinds]})["predictions"]
    assert all(isinstance(each, int) for each in answers)
    # CMYK (0, 255, 255, 0) and the opaque RGBA are red.
    assert answers[1] == answers[2] == 1


def test_pictures_become_what_validation_sees(loaded: Any) -> None:
    """Whatever the notebook's own reader makes of a picture, the packed transform makes the same tensor of it."""
    service = loaded("kserve")
    handler = service._entry_point.__self__._handle_fn.__self__
    turned = Image.new("RGB", (60, 30), (10, 20, 30))
    turned.paste((255, 255, 255), (0, 0, 20, 15))
    exif = turned.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    turned.save(buffer, "JPEG", exif=exif)
    samples = [buffer.getvalue(), picture(90, "L"), picture((9, 8, 7, 100), "RGBA"), picture(40000, "I;16")]
    samples += [picture((1, 2, 3, 4), "CMYK", "JPEG"), picture((77, 99), "LA"), RED]
    for content in samples:
        upright = photos.load_image(content)
        assert torch.equal(handler._tensor({"data": data(content)}), handler.transform(upright))
    # The white corner of the turned picture is at the top right, where a person sees it.
    tensor = handler._tensor({"data": data(buffer.getvalue())})
    assert tensor[0, 0, -1] > 0.5 > tensor[0, 0, 0]


def test_numbers_are_taken_as_they_are(v1: Any) -> None:
    red = [[[1.0] * SIZE] * SIZE, [[0.0] * SIZE] * SIZE, [[0.0] * SIZE] * SIZE]
    assert v1({"instances": [{"data": red}]}) == {"predictions": [1]}


def test_the_v2_protocol(loaded: Any) -> None:
    call = caller(loaded("kservev2"))
    one = {"name": "a", "shape": [1], "datatype": "BYTES", "data": [data(RED)]}
    answer = call({"inputs": [one, {**one, "name": "b", "data": [data(BLUE)]}]})
    assert [each["data"] for each in answer["outputs"]] == [[1], [0]]
    rich = call({"inputs": [{**one, "parameters": {"detail": True}}]})["outputs"][0]
    assert rich["datatype"] == "BYTES"
    assert json.loads(rich["data"][0])["label"] == "cat"


@pytest.mark.parametrize("parameters", [[], [1], "x", 7, None, True, {"detail": "yes"}])
def test_odd_parameters_are_ignored(v1: Any, parameters: Any) -> None:
    rows = [{"data": data(RED)}, {"data": data(BLUE), "parameters": parameters}]
    assert v1({"instances": rows}) == {"predictions": [1, 0]}


def refusal(call: Any, body: Any) -> tuple[int, str]:
    from ts.utils.util import PredictionException

    with pytest.raises(PredictionException) as caught:
        call(body)
    return caught.value.error_code, caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        {"instances": {"data": data(RED)}},
        {"instances": data(RED)},
        {"instances": 7},
        {"instances": None},
        {"instances": []},
        {"inputs": []},
        {},
        {"instances": [{"data": float("nan")}]},
        {"instances": [{"data": data(RED)}, {"data": [[float("inf")]]}]},
        {"instances": [{"data": data(RED), "parameters": {"x": float("nan")}}]},
    ],
)
def test_v1_requests_of_another_shape_are_refused_with_400(v1: Any, body: Any) -> None:
    code, message = refusal(v1, body)
    assert code == 400 and message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"shape": -1}, "shape"),
        ({"shape": [-1]}, "shape"),
        ({"shape": ["a"]}, "shape"),
        ({"shape": None}, "shape"),
        ({"name": 7}, "name"),
        ({"name": None}, "name"),
        ({"parameters": "x"}, "parameters"),
        ({"parameters": [1]}, "parameters"),
    ],
)
def test_v2_requests_of_another_shape_are_refused_with_422(loaded: Any, change: Any, field: str) -> None:
    one = {"name": "a", "shape": [1], "datatype": "BYTES", "data": [data(RED)]}
    code, message = refusal(caller(loaded("kservev2")), {"inputs": [one, {**one, **change}]})
    assert code == 422 and message.startswith(f"inputs.1.{field}: ")


def test_a_v2_request_without_inputs_is_refused_with_422(loaded: Any) -> None:
    assert refusal(caller(loaded("kservev2")), {"inputs": []})[0] == 422


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged files
def test_serving_uses_the_pictures_that_training_uses(v1: Any) -> None:
    odd = odd_pictures()
    answers = v1({"instances": [{"data": data(each.data)} for each in odd]})["predictions"]
    assert {each.name for each, answer in zip(odd, answers, strict=True) if isinstance(answer, int)} == {
        each.name for each in odd if each.usable
    }


def test_many_tiny_pictures_reach_the_model_in_small_batches(v1: Any, loaded: Any) -> None:
    handler = loaded("kserve")._entry_point.__self__._handle_fn.__self__
    sizes: list[int] = []
    model = handler.model
    handler.model = lambda batch: sizes.append(len(batch)) or model(batch)
    rows = [{"data": data(RED if number % 2 else BLUE)} for number in range(70)]
    assert handler.handle(rows, None) == [number % 2 for number in range(70)]
    assert max(sizes) == 32 and sum(sizes) == 70


def test_the_handler_stands_alone() -> None:
    from tests.support.serving_tools import HANDLER

    text = Path(HANDLER).read_text()
    assert "pdk_nb" not in text
    assert "captum" not in text
