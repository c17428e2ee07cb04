import pytest
import yaml

from pdk_nb.stages.model_info import ModelInfo
from pdk_nb.stages.worker import pfs_root
from pdk_shared.errors import SpecError

FULL = ModelInfo(
    name="dogs-and-cats",
    version="0123456789ab4cdef0123456789abcde",
    pipeline="dogs-and-cats-model",
    repo="dogs-and-cats-data",
    number=3,
    project="pdk-dogs-and-cats",
    checkpoint="uuid",
    experiment=7,
    trial=8,
    classes=("dog", "cat"),
    metric=("accuracy", 0.97),
    code_sha="abc",
    git_url="https://example.com/x.git",
    resumed_from="earlier",
    task="image-classification",
    extra={"image_size": 64},
)


def test_round_trip_with_the_guides_keys_first(tmp_path):
    path = FULL.save(tmp_path)
    assert list(yaml.safe_load(path.read_text()))[:4] == ["name", "version", "pipeline", "repo"]
    assert ModelInfo.load(path) == ModelInfo.load(tmp_path) == FULL
    assert [p.name for p in tmp_path.iterdir()] == ["model-info.yaml"]


def test_files_of_the_pdk_examples_are_read(tmp_path):
    path = tmp_path / "model-info.yaml"
    path.write_text("name: m\nversion: v\npipeline: p\nrepo: r\nowner: me\n")
    info = ModelInfo.load(path)
    assert (info.name, info.number, info.metric, info.classes) == ("m", 0, None, ())
    assert yaml.safe_load(info.dump())["owner"] == "me"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "isn't a mapping"),
        ("a: [", "isn't YAML"),
        ("name: m\nrepo: r\n", "version, pipeline"),
        ("name: m\nversion: v\npipeline: p\nrepo: r\nnumber: many\n", "wrong value"),
    ],
)
def test_wrong_files_are_refused(tmp_path, text, message):
    path = tmp_path / "model-info.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=message):
        ModelInfo.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SpecError, match="can't be read"):
        ModelInfo.load(tmp_path / "model-info.yaml")


def test_pfs_root(monkeypatch, tmp_path):
    monkeypatch.delenv("PDK_PFS_ROOT", raising=False)
    assert str(pfs_root()) == "/pfs"
    monkeypatch.setenv("PDK_PFS_ROOT", str(tmp_path))
    assert pfs_root() == tmp_path
