"""The contract of an example: what it says, and how a wrong one is refused."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pdk_nb import example as examples
from pdk_nb.commands.common import shared_options
from pdk_nb.example.checking import schema
from pdk_nb.names import EXAMPLE_VARIABLE, SHORT, Names, participant_of
from pdk_nb.platforms.serving.spec import check_service_name
from pdk_nb.session import Session
from pdk_shared.errors import SpecError

ROOT = Path(__file__).resolve().parents[2]
ALL = examples.known(ROOT / "examples")
# The limit for "<project>-<pipeline>-v<n>", the name of Pachyderm's pods.
POD_NAME = 63


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the default example that may be written."""
    shutil.copytree(ROOT / "examples" / "dog-cat", tmp_path / "pets")
    return tmp_path / "pets"


def written(folder: Path, change: dict[str, Any]) -> examples.Example:
    """The example after a change of its contract; a path with dots names the field, None removes it."""
    path = folder / examples.CONTRACT
    content = yaml.safe_load(path.read_text())
    for field, value in change.items():
        *way, last = field.split(".")
        place = content
        for part in way:
            place = place[part]
        if value is None:
            del place[last]
        else:
            place[last] = value
    path.write_text(yaml.safe_dump(content))
    return examples.find(folder.name, folder.parent)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("name", ALL)
def test_every_field_of_the_schema_is_described(name: str) -> None:
    text = (ROOT / "docs" / "examples.md").read_text()
    for field, part in schema()["properties"].items():
        assert f"`{field}`" in text
        for inner in part.get("properties", {}):
            assert f"`{field}.{inner}`" in text or f"`{inner}`" in text, f"{field}.{inner}"


@pytest.mark.parametrize("name", ALL)
def test_the_examples_of_the_lab_keep_the_contract(name: str) -> None:
    example = examples.find(name, ROOT / "examples")
    assert example.source.exists() and len(example.arrivals) == 2
    assert (ROOT / example.sub_dir / example.config).is_file()
    assert sorted(path.stem for path in (example.experiment / "profiles").glob("*.yaml")) == sorted(example.profiles)
    check_service_name(example.names["service"])
    for person in ("", "a-person-with-16"):
        names = Names.for_participant(person, name)
        for pipeline in (names.train_pipeline, names.deploy_pipeline, names.search_pipeline, names.batch_pipeline):
            assert len(f"{names.project}-{pipeline}-v99") <= POD_NAME, pipeline


def test_the_default_names_are_those_of_the_default_example() -> None:
    assert Names.of_example(examples.DEFAULT) == Names()
    assert examples.find(root=ROOT / "examples").short == SHORT


def test_two_examples_share_no_resource() -> None:
    shared = {"workspace", "participant"}
    kinds = [each.name for each in fields(Names) if each.name not in shared]
    for person in ("", "ada"):
        found = [Names.for_participant(person, name) for name in ALL]
        for kind in kinds:
            assert len({getattr(names, kind) for names in found}) == len(ALL), kind
    for name in ALL:
        assert participant_of("model", Names.for_participant("ada", name).model, name) == "ada"


def test_the_example_is_named_by_flag_or_variable(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    given = shared_options().person.parse_args(["--example", "dog-cat"])
    assert given.example == "dog-cat" and shared_options().person.parse_args([]).example == ""
    monkeypatch.setattr("pdk_nb.example.reading.examples_folder", lambda: folder.parent)
    written(folder, {"names.model": "pets", "names.project": "pets"})
    monkeypatch.setenv(EXAMPLE_VARIABLE, "pets")
    assert Names.chosen().model == "pets" and Names.chosen(example="dog-cat").model == "dogs-and-cats"
    assert Names.chosen("ada").project == f"ada-{SHORT}"
    written(folder, {"names.short": None})
    assert Names.chosen("ada").project == "ada-pets"
    assert Names.chosen("ada").batch_repo == "ada-pets-inbox"


def test_a_session_knows_its_example() -> None:
    settings: Any = None
    session = Session(settings, Names())
    assert session.example.name == "dog-cat"
    assert session.sample("cat.json").is_file()


@pytest.mark.parametrize(
    ("change", "what", "fix"),
    [
        ({"taks": "tabular"}, "There is no field 'taks'.", "Did you mean 'task'?"),
        ({"task": "guessing"}, "task is 'guessing'.", "Use one of: image-classification"),
        ({"task": None}, "The contract lacks the field 'task'.", "task: The kind of data"),
        ({"gate.minimum": "high"}, "gate.minimum is a string, not a number.", "docs/examples.md"),
        ({"gate.minimum": 80}, "gate.minimum: 80 is greater than the maximum of 1.", ""),
        ({"names.model": "My Pets"}, "names.model: 'My Pets' isn't a name of lowercase letters", ""),
        ({"names.modle": "pets"}, "names: there is no field 'modle'.", "Did you mean 'model'?"),
        ({"experiment.folder": "../other"}, "isn't a path inside the example's folder", ""),
        ({"names.deploy_pipeline": "a" * 40}, "names.deploy_pipeline makes names of pods that are too long", "16 char"),
        ({"data.arrivals": []}, "data.arrivals: [] should be non-empty.", ""),
        ({"title": ""}, "title: '' should be non-empty.", ""),
        ({"experiment.config": "absent.yaml"}, "experiment.config names a file that doesn't exist", ""),
        ({"experiment.profiles": ["tpu"]}, "experiment.profiles names a file that doesn't exist: experiment/pro", ""),
    ],
)
def test_a_wrong_contract_is_refused_in_words(folder: Path, change: dict[str, Any], what: str, fix: str) -> None:
    with pytest.raises(SpecError) as caught:
        written(folder, change)
    assert what in caught.value.what
    assert fix in caught.value.fix
    assert caught.value.where == str(folder / examples.CONTRACT)


def test_what_is_no_contract_is_refused(folder: Path) -> None:
    (folder / examples.CONTRACT).write_text("a: [")
    with pytest.raises(SpecError, match="isn't YAML"):
        examples.find("pets", folder.parent)
    (folder / examples.CONTRACT).write_text("- a")
    with pytest.raises(SpecError, match="The contract is an array, not an object"):
        examples.find("pets", folder.parent)
    for name in ("absent", "../pets", ".."):
        with pytest.raises(SpecError, match="There is no example") as caught:
            examples.find(name, folder.parent)
        assert "pets" in caught.value.fix
