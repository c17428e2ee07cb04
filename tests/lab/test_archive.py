"""Archives: what goes in comes out, twice the same bytes, and clear refusals."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pdk_nb.packaging import archive, torchserve_config
from pdk_nb.tasks import for_stages
from pdk_shared import pictures
from pdk_shared.errors import DeploymentError, UsageError
from tests.support.serving_tools import HANDLER, PREPROCESS, model_folder, save_script


def test_an_archive_holds_what_torchserve_and_the_handler_need(tmp_path: Path) -> None:
    mar = model_folder(tmp_path, "7") / "model-store" / "dogs-and-cats.mar"
    task = for_stages()
    info = archive.describe(mar, {**task.shared_modules, **task.roles})
    assert (info.name, info.version, info.handler) == ("dogs-and-cats", "7", "dog_cat_handler.py")
    assert info.classes == ("dog", "cat")
    assert info.facts == {"image_size": 8}
    names = {each.name: each.role for each in info.entries}
    assert set(names) == {
        "MAR-INF/MANIFEST.json",
        "dog_cat_handler.py",
        "index_to_name.json",
        "model.pt",
        "pdk-model.json",
        "pdk_shared/__init__.py",
        "pdk_shared/errors.py",
        "pdk_shared/pictures.py",
        "pdk_shared/prediction_requests.py",
        "preprocess.py",
    }
    assert all(names.values())
    with zipfile.ZipFile(mar) as packed:
        assert json.loads(packed.read("index_to_name.json")) == {"0": "dog", "1": "cat"}
        assert packed.read("preprocess.py").decode() == PREPROCESS
        assert json.loads(packed.read("MAR-INF/MANIFEST.json"))["model"]["serializedFile"] == "model.pt"


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    script = save_script(tmp_path / "script.pt")
    built = []
    for part in ("a", "b"):
        made = archive.build(
            script,
            name="m",
            version="1",
            handler=HANDLER,
            classes=["dog", "cat"],
            facts={},
            out_dir=tmp_path / part,
        )
        built.append(made.read_bytes())
    assert built[0] == built[1]


def test_paths_with_commas_and_brackets_are_no_trouble(tmp_path: Path) -> None:
    odd = tmp_path / "a, b [1]"
    odd.mkdir()
    extra = odd / "words,[x].txt"
    extra.write_text("hello")
    made = archive.build(
        save_script(tmp_path / "script.pt"),
        name="m",
        version="1",
        handler=HANDLER,
        classes=["dog", "cat"],
        facts={},
        extra_files=[extra],
        out_dir=odd,
    )
    assert "words,[x].txt" in {each.name for each in archive.describe(made).entries}


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "m;rm"])
def test_names_that_cannot_be_served_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        archive.check_model_name(name)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="is missing") as raised:
        archive.build(
            tmp_path / "no.pt", name="m", version="1", handler=HANDLER, classes=[], facts={}, out_dir=tmp_path
        )
    assert "no.pt" in raised.value.where


def test_describe_refuses_what_is_no_archive(tmp_path: Path) -> None:
    broken = tmp_path / "x.mar"
    broken.write_bytes(b"not a zip")
    with pytest.raises(DeploymentError, match="isn't a TorchServe archive"):
        archive.describe(broken)
    with zipfile.ZipFile(broken, "w") as packed:
        packed.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": {"handler": "gone.py"}}))
    with pytest.raises(DeploymentError, match=r"lacks its handler gone\.py"):
        archive.describe(broken)


def test_our_own_folder_has_no_findings(tmp_path: Path) -> None:
    assert torchserve_config.lint_folder(model_folder(tmp_path, "1")) == []


# The configuration that the older kits write: each line below is one of their traps.
OLD = """
inference_address=http://0.0.0.0:8085
management_address=http://0.0.0.0:8081
metrics_address=http://0.0.0.0:8082
grpc_inference_port=7070
install_py_dep_per_model=true
metrics_format=prometheus
model_store=/mnt/models
model_snapshot={"name":"startup.cfg","modelCount":1,"models":{"other":{"v1":{"marName":"other.mar","batchSize":4}}}}
"""


def test_the_traps_of_older_configurations_are_found() -> None:
    found = torchserve_config.lint(OLD, archives={"dogs-and-cats.mar": "dogs-and-cats"})
    errors = {each.key for each in found if each.error}
    warnings = {each.key for each in found if not each.error}
    assert errors == {"management_address", "enable_envvars_config", "model_store", "model_snapshot"}
    assert {"disable_token_authorization", "install_py_dep_per_model", "metrics_format"} <= warnings
    assert any("batchSize 4" in str(each) for each in found)
    assert [each.error for each in found] == sorted((each.error for each in found), reverse=True)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("inference_address=http://0.0.0.0", "inference_address"),
        ("metrics_address=http://0.0.0.0:8085", "metrics_address"),
        ("max_request_size=lots", "max_request_size"),
        ("model_snapshot={broken", "model_snapshot"),
        ('model_snapshot={"modelCount":2,"models":{}}', "model_snapshot"),
    ],
)
def test_single_mistakes_are_found(line: str, key: str) -> None:
    text = torchserve_config.config_text("m", "1") + line + "\n"
    assert key in {each.key for each in torchserve_config.lint(text) if each.error}


def test_limits_and_names_are_checked_before_writing() -> None:
    with pytest.raises(UsageError):
        torchserve_config.config_text("m", "1", max_request_size=0)
    with pytest.raises(UsageError):
        torchserve_config.config_text("a b", "1")
    text = torchserve_config.config_text("m", "1", max_request_size=20_000_000)
    assert torchserve_config.parse(text)["max_request_size"] == "20000000"


def test_pictures_are_decoded_with_the_code_of_the_training(tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "pdk_shared").mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "pictures.py"):
        (code / "pdk_shared" / name).write_text(f"# {name} of the training\n")
    script = save_script(tmp_path / "script.pt")
    names: dict[str, Any] = {"name": "m", "version": "1", "handler": HANDLER, "classes": ["dog", "cat"], "facts": {}}
    names["shared_modules"] = tuple(for_stages().shared_modules)

    def decoder(folder: str) -> str:
        made = archive.build(script, out_dir=tmp_path / folder, training_code=code, **names)
        with zipfile.ZipFile(made) as packed:
            return packed.read("pdk_shared/pictures.py").decode()

    assert decoder("a") == "# pictures.py of the training\n"
    # Code that was trained elsewhere has no such modules.
    (code / "pdk_shared" / "pictures.py").unlink()
    assert decoder("b") == Path(pictures.__file__).read_text()
