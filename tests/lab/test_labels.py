import pytest

from pdk_nb.labels import LabelRule, infer_classes, split
from pdk_shared.errors import DataError

RULE = LabelRule()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data1/cat.1.jpg", "cat"),
        ("/data1/dog.7.jpg", "dog"),
        ("/dogs-from-cats/cat.1.jpg", "cat"),
        ("/dogs-and-cats/dog.1.jpg", "dog"),
        ("/train/Dog/1.jpg", "dog"),
        ("/train/CATS/IMG_3.JPG", "cat"),
        ("data1/DOGS_7.png", "dog"),
        ("cat 12.jpeg", "cat"),
        ("cat12.jpeg", "cat"),
        ("Dog/dog.1.jpg", "dog"),
        ("dog\\1.jpg", "dog"),
    ],
)
def test_last_components_tell_the_class(path, name):
    assert RULE.name(path) == name


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("hotdog.jpg", "neither"),
        ("category.jpg", "neither"),
        ("catdog.jpg", "neither"),
        ("/dogs-from-cats/1.jpg", "neither"),
        ("/cat/data1/1.jpg", "neither"),
        ("README.md", "neither"),
        ("my dog.jpg", "neither"),
        ("cats/dog.1.jpg", "ambiguous"),
        ("dog_and_cat.jpg", "ambiguous"),
        ("cat.dog.1.jpg", "ambiguous"),
    ],
)
def test_what_cannot_be_told_stays_without_label(path, reason):
    found = RULE.explain(path)
    assert found.index is None
    assert found.reason.startswith(reason)


def test_the_order_of_the_classes_is_the_order_of_the_outputs():
    assert (RULE.label("dog.1.jpg"), RULE.label("cat.1.jpg")) == (0, 1)
    assert LabelRule(("cat", "dog")).label("dog.1.jpg") == 1


def test_longer_names_win_over_their_beginnings():
    rule = LabelRule(("dog", "dog house", "fox"))
    assert rule.name("dog_house_3.jpg") == "dog house"
    assert rule.name("dog_3.jpg") == "dog"
    assert rule.name("foxes/1.jpg") == "fox"


@pytest.mark.parametrize("classes", [(), ("cat",), ("cat", "Cats"), ("cat", "12")])
def test_impossible_rules_are_refused(classes):
    with pytest.raises(DataError, match="class"):
        LabelRule(classes)


def test_infer_classes_from_prefixes_folders_or_not_at_all():
    assert infer_classes(f"data{i % 2}/{name}.{i}.jpg" for i in range(5) for name in ("dog", "cat")) == ("cat", "dog")
    assert infer_classes(f"{name}/IMG_{i}.jpg" for i in range(3) for name in ("Rose", "Tulip")) == ("rose", "tulip")
    with pytest.raises(DataError, match="give no classes"):
        infer_classes(f"data1/IMG_{i}.jpg" for i in range(9))


def items(*ranges):
    return [
        (f"/data{i % 2}/{name}.{i}.jpg", label) for r in ranges for i in r for label, name in enumerate(("dog", "cat"))
    ]


def test_the_split_is_stratified_disjoint_and_blind_to_order():
    everything = items(range(3000))
    train, held = split(everything)
    assert split(list(reversed(everything))) == (train, held)
    assert sorted(train + held) == sorted(path for path, _ in everything)
    for name in ("dog", "cat"):
        assert 0.18 < sum(name in path for path in held) / 3000 < 0.22


def test_nothing_changes_sides_when_more_arrives():
    train, held = split(items(range(100)))
    more_train, more_held = split(items(range(300)))
    assert set(train) < set(more_train) and set(held) < set(more_held)
    assert split([(path.strip("/"), label) for path, label in items(range(100))])[1] == [p.strip("/") for p in held]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_class_is_held_out_at_least_once(count):
    train, held = split(items(range(count)))
    for name in ("dog", "cat"):
        assert sum(name in path for path in held) >= 1
        assert sum(name in path for path in train) >= (1 if count > 1 else 0)
