import io
import json
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from pdk_nb import photos
from pdk_nb.labels import LabelRule

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "sample-data"
sys.path.insert(0, str(ROOT / "scripts"))

import draw_pets  # noqa: E402
import fetch_pets  # noqa: E402

SECOND = dict(zip(range(204, 208), draw_pets.KINDS["data2"], strict=True))


def test_the_second_arrival_shows_what_the_first_one_lacks():
    with zipfile.ZipFile(SAMPLES / "dataset-dog-cat.zip") as opened:
        names = opened.namelist()
    rule = LabelRule(("dog", "cat"))
    kinds = {arrival: Counter(rule.kind(n) for n in names if n.startswith(arrival)) for arrival in ("data1", "data2")}
    assert kinds == {"data1": {"": 400}, "data2": dict.fromkeys(draw_pets.KINDS["data2"], 70)}


def test_the_archive_holds_both_arrivals(tmp_path):
    archive = SAMPLES / "dataset-dog-cat.zip"
    assert archive.stat().st_size < 3_000_000
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        opened.extractall(tmp_path)
    for arrival, count in draw_pets.ARRIVALS.items():
        found = photos.scan(tmp_path / arrival)
        assert found.counts() == {"dog": count // 2, "cat": count // 2}
        assert not (found.skipped or found.renames or found.duplicates)
    everything = photos.scan(tmp_path)
    assert len({Path(p.name).name for p in everything.photos}) == sum(draw_pets.ARRIVALS.values())
    assert not everything.duplicates


def test_drawing_again_gives_the_same_pictures():
    with zipfile.ZipFile(SAMPLES / "dataset-dog-cat.zip") as opened:
        for name in ("data1/cat.1.jpg", *(f"data2/dog.{kind}.{n}.jpg" for n, kind in SECOND.items())):
            kept = Image.open(io.BytesIO(opened.read(name))).convert("L").resize((32, 32))
            drawn = draw_pets.draw(name).convert("L").resize((32, 32))
            # JPEG encoders differ a little between machines; pictures do not.
            difference = [abs(a - b) for a, b in zip(kept.tobytes(), drawn.tobytes(), strict=True)]
            assert sum(difference) / len(difference) < 3


def test_pictures_and_requests_to_predict():
    names = sorted(path.name for path in (SAMPLES / "pred").iterdir())
    assert Counter(name[:3] for name in names) == {"cat": 3, "dog": 3}
    for kind in ("cat", "dog"):
        request = json.loads((SAMPLES / f"{kind}.json").read_text())
        (data,) = photos.from_request(request)
        first = next(name for name in names if name.startswith(kind))
        assert data == (SAMPLES / "pred" / first).read_bytes()
        assert len(json.dumps(request)) < photos.MAX_REQUEST_BYTES


@pytest.mark.parametrize("kind", ["cat", "dog"])
def test_pets_vary(kind):
    drawn = {draw_pets.draw_pet(kind, f"{kind} {i}", 48, ("studio",)).tobytes() for i in range(6)}
    assert len(drawn) == 6
    assert draw_pets.draw_pet(kind, "same", 48, ("room",)) == draw_pets.draw_pet(kind, "same", 48, ("room",))


def test_fetched_photos_get_the_same_layout(tmp_path):
    dataset = [
        (Image.new("RGB" if i % 3 else "L", (700, 300), 17 * i % 255 if i % 3 == 0 else (i, 0, 0)), i % 2)
        for i in range(20)
    ]
    written = fetch_pets.write_layout(dataset, tmp_path, {"data1": 8, "data2": 40})
    assert written == {"data1": 8, "data2": 12}
    found = photos.scan(tmp_path)
    assert found.counts() == {"dog": 10, "cat": 10}
    assert max(photos.load_image(found.photos[0].path).size) == 512
