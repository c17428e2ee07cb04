"""Experiment configurations: checked as the official schemas do, completed, masked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pdk_stack.common.errors import Refusal
from pdk_stack.determined.core import masking
from pdk_stack.determined.core.expconf import reader
from pdk_stack.determined.core.expconf.rules import BY_KEY, EXPERIMENT, HYPERPARAMETER_KINDS, Field
from tests.support.reference import reference_dir

STORAGE = {"type": "shared_fs", "host_path": "/somewhere"}
MINIMAL = {"searcher": {"name": "single", "metric": "loss"}, "hyperparameters": {"lr": 0.1, "deep": {"x": 1}}}

NUMBER = {"type": "int", "minval": 1, "maxval": 2}


def complete(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return reader.complete(config, storage=STORAGE, pool="default", **more)


def test_defaults_are_filled() -> None:
    config = complete(MINIMAL)
    assert config["max_restarts"] == 5 and config["scheduling_unit"] == 100
    assert config["hyperparameters"] == {
        "lr": {"type": "const", "val": 0.1},
        "deep": {"x": {"type": "const", "val": 1}},
    }
    assert config["checkpoint_storage"]["host_path"] == "/somewhere"
    assert config["checkpoint_storage"]["save_trial_best"] == 1
    assert config["resources"]["resource_pool"] == "default" and config["resources"]["slots_per_trial"] == 1
    assert config["name"] and isinstance(config["reproducibility"]["experiment_seed"], int)
    assert config["environment"]["environment_variables"] == {"cpu": [], "cuda": [], "rocm": []}
    json.dumps(config)


def test_own_storage_of_another_type_takes_nothing_over() -> None:
    config = complete({**MINIMAL, "checkpoint_storage": {"type": "directory", "container_path": "/x"}})
    assert "host_path" not in config["checkpoint_storage"]
    merged = complete({**MINIMAL, "checkpoint_storage": {"save_trial_best": 3}})
    assert merged["checkpoint_storage"]["type"] == "shared_fs" and merged["checkpoint_storage"]["save_trial_best"] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hyperparameters": {"a": {"type": "int", "minval": 2, "maxval": 1}}}, "minval must be less than maxval"),
        ({"hyperparameters": {"a": {"type": "float", "val": 1}}}, "must be one of"),
        ({"hyperparameters": {"a": {"type": "log", "minval": 0, "maxval": 1}}}, "base is a required property"),
        ({"searcher": {"name": "grid", "metric": "m"}, "hyperparameters": {"a": NUMBER}}, "count was not provided"),
        ({"searcher": {"name": "random", "metric": "m"}}, "max_trials is a required property"),
        ({"searcher": {"name": "adaptive_asha", "metric": "m", "max_trials": 4}}, "requires `max_time`"),
        ({"searcher": {"name": "adaptive", "metric": "m"}}, "no longer supported"),
        ({"min_validation_period": {"steps": 3}}, "must have one attribute named"),
        ({"resources": {"slots_per_trial": -1}}, "slots_per_trial: must be at least 0"),
        ({"checkpoint_policy": "some"}, "checkpoint_policy: must be one of"),
        ({"checkpoint_storage": {"type": "tape"}}, "object\\[\"type\"\\] is one of"),
        ({"labels": [1]}, "labels\\[0\\]: must be of type string"),
    ],
)  # fmt: skip
def test_errors_name_the_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Refusal, match=message):
        complete({**MINIMAL, **changes})


def test_lengths_of_every_form_are_taken() -> None:
    for length in (100, {"batches": 100}, {"epochs": 2}, {"records": 5}):
        searcher = {"name": "single", "metric": "loss", "max_length": length}
        assert complete({**MINIMAL, "searcher": searcher})["searcher"]["max_length"] == length


def test_template_fills_what_is_left_out() -> None:
    config = complete({**MINIMAL, "max_restarts": 1}, merge=({"max_restarts": 7, "description": "d", "labels": ["t"]},))
    assert (config["max_restarts"], config["description"], config["labels"]) == (1, "d", ["t"])


def test_secrets_are_masked_and_come_back_in_a_fork() -> None:
    data = {"secrets": {"a": "secret-a-1"}, "pachyderm": {"token": "secret-b-2", "host": "h"}, "n": 1}
    config = complete({**MINIMAL, "data": data})
    shown = masking.mask(config)
    assert "secret-" not in json.dumps(shown) and shown["data"]["pachyderm"]["host"] == "h"
    assert masking.secret_values(config) == ["secret-a-1", "secret-b-2"]
    assert masking.mask_text("x secret-a-1 y", masking.secret_values(config)) == "x ******** y"
    assert masking.unmask(shown, config) == config


def test_yaml_is_read_as_the_master_reads_it() -> None:
    found = reader.parse("a: No\nb: 1e-4\nc: true\nd: 2024-01-01\n7: x\n")
    assert found == {"a": "No", "b": 0.0001, "c": True, "d": "2024-01-01", "7": "x"}
    for text in ("- 1", "a: [", "just text"):
        with pytest.raises(Refusal):
            reader.parse(text)


# -- against the official schemas ------------------------------------------------------------------------------------

REFERENCE = reference_dir()
SCHEMAS = REFERENCE / "schemas" / "determined" if REFERENCE else None
needs_schemas = pytest.mark.skipif(
    SCHEMAS is None or not (SCHEMAS / "experiment.json").exists(), reason="the official schemas are not here"
)
FILES: dict[str, dict[str, Field]] = {
    "experiment": EXPERIMENT,
    **{f"searcher-{name.replace('_', '-')}": fields for name, fields in BY_KEY["name"].items()},
    **{name.replace("_", "-"): fields for name, fields in BY_KEY["type"].items()},
    **{f"hyperparameter-{name}": fields for name, fields in HYPERPARAMETER_KINDS.items()},
    **{key: field.fields for key, field in EXPERIMENT.items() if field.fields and key != "integrations"},
}
#: Old searchers are only told apart to be refused; images and device lists have unions of their own.
UNLIKE = {"searcher-custom", "searcher-adaptive", "searcher-adaptive-simple", "searcher-sync-halving", "security"}


@needs_schemas
@pytest.mark.parametrize("name", sorted(set(FILES) - UNLIKE))
def test_rules_equal_the_official_schema(name: str) -> None:
    assert SCHEMAS is not None
    official = json.loads((SCHEMAS / f"{name.replace('_', '-')}.json").read_text())["properties"]
    own = FILES[name]
    assert set(own) == set(official)
    for key, schema in official.items():
        if not isinstance(schema, dict) or "const" in schema:
            continue
        field = own[key]
        if not field.optional and "default" in schema:
            chosen = {"batches": 0} if field.length else schema["default"]
            assert field.default == chosen or ((field.fields or field.union) and chosen in (None, {})), key
        assert field.minimum == schema.get("minimum") or "enum" in schema, key
        kinds = schema.get("type")
        if field.types and kinds:
            assert set(field.types) == {
                each for each in (kinds if isinstance(kinds, list) else [kinds]) if each != "null"
            }, key
