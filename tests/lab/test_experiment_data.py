"""The trial's way to its pictures, against an embedded Pachyderm."""

import io
import logging
import sys
from pathlib import Path

import pytest
import python_pachyderm
import yaml
from PIL import Image

from pdk_nb.labels import LabelRule, split
from tests.support.odd_pictures import odd_pictures
from tests.support.processes import ServiceProcess

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = ROOT / "examples" / "dog-cat" / "experiment"
sys.path.insert(0, str(EXPERIMENT))

import data  # noqa: E402

TOKEN = "t0ken-of-the-test"
RULE = LabelRule()


def jpeg(seed):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (seed % 256, seed // 256, 7)).save(buffer, format="JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pachd(tmp_path_factory):
    service = ServiceProcess("pachyderm", tmp_path_factory.mktemp("pachd"), {"root_token": TOKEN}).start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def repo(pachd):
    """Two commits: 60 pictures and some rubbish, then 20 more and one changed."""
    host, _, port = pachd.ready["pachd"].removeprefix("grpc://").partition(":")
    client = python_pachyderm.Client(host=host, port=int(port), auth_token=TOKEN)
    client.create_project("pets")
    client.create_repo("photos", project_name="pets")
    branch = {"repo": "photos", "branch": "master", "project": "pets"}

    def commit(files):
        with client.commit("photos", "master", project_name="pets") as opened:
            for path, content in files.items():
                client.put_file_bytes(opened, path, content)
        return opened.id

    first = {f"/data1/{kind}.{n}.jpg": jpeg(n * 2 + k) for n in range(30) for k, kind in enumerate(("cat", "dog"))}
    rubbish = {
        "/data1/.DS_Store": b"x",
        "/data1/dog.99.jpg": b"text",
        "/data1/holiday.jpg": jpeg(9999),
        "/notes.txt": b"n",
    }
    one = commit(first | rubbish)
    second = {
        f"/data2/{kind}.{n}.jpg": jpeg(n * 2 + k) for n in range(100, 110) for k, kind in enumerate(("cat", "dog"))
    }
    two = commit(second)
    settings = {"host": host, "port": port, "project": "pets", "repo": "photos", "branch": two, "previous_commit": ""}
    return client, branch, settings, one, two, first, second, rubbish


def test_the_whole_commit_comes_in_one_stream(repo, tmp_path):
    client, _, settings, one, two, first, second, rubbish = repo
    place = (settings["host"], settings["port"], "photos")
    brought = data.download_pach_repo(*place, one, tmp_path / "one", TOKEN, "pets")
    assert brought == sorted(path.strip("/") for path in first | rubbish)
    for path, content in first.items():
        assert (tmp_path / "one" / path.strip("/")).read_bytes() == content
    by_branch = data.download_pach_repo(*place, "master", tmp_path / "head", TOKEN, "pets")
    assert len(by_branch) == len(first | second | rubbish)


def test_with_a_previous_commit_only_what_is_new_comes(repo, tmp_path):
    _, _, settings, one, two, _, second, _ = repo
    brought = data.download_pach_repo(
        settings["host"], settings["port"], "photos", two, tmp_path, TOKEN, "pets", previous_commit=one
    )
    assert brought == sorted(path.strip("/") for path in second)
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == len(second)


def test_a_full_training_sees_everything_usable(repo, tmp_path):
    _, _, settings, _, _, first, second, rubbish = repo
    corpus = data.fetch(settings, TOKEN, tmp_path, RULE, 1.0)
    assert len(corpus.train) + len(corpus.held) == len(first | second)
    assert set(corpus.skipped) == {path.strip("/") for path in rubbish}
    assert corpus.new is None
    data.check(corpus, RULE)


def test_an_incremental_training_keeps_the_hold_out_of_everything_and_replays_old_pictures(repo, tmp_path, caplog):
    _, _, settings, one, _, first, second, _ = repo
    caplog.set_level(logging.INFO)
    corpus = data.fetch(settings | {"previous_commit": one}, TOKEN, tmp_path, RULE, 0.5)
    everything = [(path.strip("/"), RULE.label(path)) for path in first | second]
    train, held = split(everything)
    # dog.99.jpg has a label by its name, and is found broken only when it is read.
    assert {item.path for item in corpus.held} == set(held)
    new = {path.strip("/") for path in second} & set(train)
    learned = {item.path for item in corpus.train}
    assert new <= learned <= set(train)
    assert corpus.new == len(new)
    replayed = learned - new
    assert abs(len(replayed) - len(new) / 2) <= 1
    assert abs(sum("cat" in p for p in replayed) - sum("dog" in p for p in replayed)) <= 1
    data.report(corpus, RULE)
    assert "are new since the previous commit" in caplog.text
    assert TOKEN not in caplog.text


def test_a_small_arrival_is_trained_with_a_minimum_of_old_pictures(repo, tmp_path):
    _, _, settings, one, _, first, second, _ = repo
    everything = [(path.strip("/"), RULE.label(path)) for path in first | second]
    train, _ = split(everything)
    new = {path.strip("/") for path in second} & set(train)
    enough = len(set(train) - new) + 10  # files that are found broken only when they are read
    corpus = data.fetch(settings | {"previous_commit": one}, TOKEN, tmp_path, RULE, 0.0, enough)
    assert {item.path for item in corpus.train} == set(train)
    shipped = yaml.safe_load((EXPERIMENT / "const.yaml").read_text())
    assert shipped["data"]["replay_at_least"] >= 4 * shipped["hyperparameters"]["global_batch_size"]


@pytest.mark.parametrize("previous", ["same", "0123456789ab4cdef0123456789abcde"])
def test_no_usable_previous_commit_means_everything(repo, tmp_path, previous, caplog):
    _, _, settings, _, two, first, second, _ = repo
    corpus = data.fetch(
        settings | {"previous_commit": two if previous == "same" else previous}, TOKEN, tmp_path, RULE, 1.0
    )
    assert len(corpus.train) + len(corpus.held) == len(first | second)
    assert "training with everything" in caplog.text or previous == "same"


def test_an_empty_commit_is_refused_with_a_reason(repo, tmp_path):
    client, _, settings, *_ = repo
    client.create_repo("empty", project_name="pets")
    with client.commit("empty", "master", project_name="pets") as opened:
        pass
    corpus = data.fetch(settings | {"repo": "empty", "branch": opened.id}, TOKEN, tmp_path, RULE, 1.0)
    with pytest.raises(data.UnusableData, match="no usable picture"):
        data.check(corpus, RULE)


def test_paths_that_lead_out_are_refused():
    for name in ("../x", "a/../../x", "/"):
        with pytest.raises(ValueError, match="refusing"):
            data.clean_path(name)
    assert data.clean_path("/data1/./cat.1.jpg") == "data1/cat.1.jpg"


def test_large_sets_are_not_kept_in_memory(monkeypatch, tmp_path):
    for n in range(3):
        (tmp_path / f"cat.{n}.jpg").write_bytes(jpeg(n))
        (tmp_path / f"dog.{n}.jpg").write_bytes(jpeg(n + 50))
    corpus = data.collect(tmp_path, RULE)
    items = corpus.train + corpus.held
    kept = data.Pictures(items, data.preprocess.eval_transform(32), keep=32, fixed=True)
    monkeypatch.setattr(data, "CACHE_BYTES", 10)
    decoded = data.Pictures(items, data.preprocess.eval_transform(32), keep=32, fixed=True)
    assert kept.tensors and not decoded.tensors
    for index in range(len(items)):
        assert kept[index][0].equal(decoded[index][0]) and kept[index][1] == decoded[index][1]


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged files, and trials ignore warnings
@pytest.mark.parametrize("keep", [64, 0])
def test_odd_pictures_never_end_a_training(tmp_path, keep):
    for number in range(3):
        for kind in ("cat", "dog"):
            (tmp_path / f"{kind}.{number}.jpg").write_bytes(jpeg(number))
    odd = odd_pictures()
    (tmp_path / "cat").mkdir()
    for each in odd:
        (tmp_path / "cat" / each.name).write_bytes(each.data)
    corpus = data.collect(tmp_path, RULE)
    assert set(corpus.skipped) == {f"cat/{each.name}" for each in odd if not each.usable}
    assert all(corpus.skipped.values())
    items = corpus.train + corpus.held
    for make, fixed in ((data.preprocess.eval_transform, True), (data.preprocess.train_transform, False)):
        pictures = data.Pictures(items, make(64), keep=keep, fixed=fixed)
        for index in range(len(items)):
            assert pictures[index][0].shape == (3, 64, 64)
            assert pictures[index][0].isfinite().all()


def test_of_long_pictures_only_the_middle_is_kept_in_memory():
    image = Image.new("RGB", (90, 90_000))
    image.paste("red", (0, 44_000, 90, 46_000))
    kept = data._shrunk(image, 90)
    assert kept.size == (90, 360)
    assert kept.getpixel((45, 0)) == kept.getpixel((45, 359)) == (255, 0, 0)
    assert data._shrunk(Image.new("RGB", (200, 100)), 50).size == (100, 50)
