"""Experiment configurations: checked as the official schemas do, completed, masked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pdk_stack.common.errors import Refusal
from pdk_stack.determined.core import masking
from pdk_stack.determined.core.expconf import completion, reader
from pdk_stack.determined.core.expconf.merging import merged
from pdk_stack.determined.core.expconf.rules import EXPERIMENT
from tests.support.reference import reference_dir

STORAGE = {"type": "shared_fs", "host_path": "/somewhere"}
MINIMAL = {"searcher": {"name": "single", "metric": "loss"}, "hyperparameters": {"lr": 0.1, "deep": {"x": 1}}}


def complete(config: dict[str, Any], template: dict[str, Any] | None = None) -> dict[str, Any]:
    submitted = merged(reader.sane(config), template or {})
    return completion.complete(submitted, storage=STORAGE, pool="default")


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


SANE = "version 0 experiment config is invalid: config is invalid: "
INCOMPLETE = "config is invalid or incomplete: "
STORAGE_FORMS = "'shared_fs', 'directory', 's3', 'gcs', or 'azure'"
SEARCHER_FORMS = "'single', 'random', 'grid', 'custom', or 'adaptive_asha'"
UNITS = 'a length object must have one attribute named "batches", "records", or "epochs"'
KINDS = '"int", "double", "log", const", or "categorical"'
ASHA = {"name": "adaptive_asha", "metric": "m", "max_trials": 4}
GRID = {"name": "grid", "metric": "m"}


def hyper(node: Any) -> dict[str, Any]:
    return {"hyperparameters": {"a": node}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        # types, ranges, and names
        ({"max_restarts": "two"}, SANE + "<config>.max_restarts: expected integer or null, but got string"),
        ({"max_restarts": True}, SANE + "<config>.max_restarts: expected integer or null, but got boolean"),
        ({"max_restarts": 1.5}, SANE + "<config>.max_restarts: expected integer or null, but got number"),
        ({"entrypoint": 5}, SANE + "<config>.entrypoint: expected string or array or null, but got number"),
        ({"internal": {"native": {}}}, SANE + "<config>.internal: expected null, but got object"),
        (
            {"resources": {"slots_per_trial": -1}},
            SANE + "<config>.resources.slots_per_trial: must be >= 0 but found -1",
        ),
        ({"resources": {"priority": 100}}, SANE + "<config>.resources.priority: must be <= 99 but found 100"),
        ({"searcher": {**ASHA, "divisor": 1}}, SANE + "<config>.searcher.divisor: must be > 1 but found 1"),
        (
            {"checkpoint_policy": "some"},
            SANE + '<config>.checkpoint_policy: value must be one of <nil>, "best", "all", "none"',
        ),
        ({"labels": [1]}, SANE + "<config>.labels[0]: expected string, but got number"),
        (
            {"profiling": {"begin_on_batch": 5, "end_after_batch": 2}},
            SANE + "<config>.profiling: begin_on_batch must be less than end_after_batch",
        ),
        # several faults, sorted, each as often as the schemas find it
        (
            {"gold": 1, "max_restarts": -1, "searcher": {"name": "gold"}},
            SANE + "<config>.max_restarts: must be >= 0 but found -1\n"
            f'<config>.searcher: is not an object where object["name"] is one of {SEARCHER_FORMS}\n'
            '<config>: additionalProperties "gold" not allowed',
        ),
        (
            {"searcher": {"name": "single", "metric": "m", "gold": 1}},
            SANE + "\n".join(['<config>.searcher: additionalProperties "gold" not allowed'] * 2),
        ),
        # hyperparameters, nested ones too
        (
            hyper({"type": "int", "minval": 2, "maxval": 1}),
            SANE + "<config>.hyperparameters.a: minval must be less than maxval",
        ),
        (
            hyper({"type": "float"}),
            SANE
            + '<config>.hyperparameters.a: if a hyperparameter object\'s ["type"] is set, it must be one of '
            + KINDS,
        ),
        (hyper({"type": "int"}), SANE + '<config>.hyperparameters.a: missing properties: "minval", "maxval"'),
        (
            hyper({"b": {"type": "int", "minval": 1}}),
            SANE + '<config>.hyperparameters.a.b: missing properties: "maxval"',
        ),
        (
            hyper({"type": "log", "minval": 0, "maxval": 1}),
            SANE + '<config>.hyperparameters.a: missing properties: "base"',
        ),
        (
            hyper({"type": "const", "val": 1, "x": 1}),
            SANE + '<config>.hyperparameters.a: additionalProperties "x" not allowed',
        ),
        (
            {"searcher": GRID, "hyperparameters": {"a": {"b": {"type": "int", "minval": 1, "maxval": 2}}}},
            SANE + "<config>.hyperparameters.a.b: grid search is in use but count was not provided",
        ),
        # maps in maps
        ({"min_validation_period": {"steps": 3}}, SANE + f"<config>.min_validation_period: {UNITS}"),
        (
            {"checkpoint_storage": {"type": "tape"}},
            SANE + f'<config>.checkpoint_storage: is not an object where object["type"] is one of {STORAGE_FORMS}',
        ),
        (
            {"checkpoint_storage": {"type": "shared_fs", "host_path": "/a", "storage_path": "/b"}},
            SANE + "<config>.checkpoint_storage: storage_path must either be a relative directory or a subdirectory of "
            "host_path",
        ),
        (
            {"checkpoint_storage": {"type": "s3", "bucket": "b", "prefix": "../x"}},
            SANE + "<config>.checkpoint_storage.prefix: prefix cannot contain /../",
        ),
        (
            {"bind_mounts": [{"host_path": "/a", "container_path": "/b", "readonly": True}]},
            SANE + '<config>.bind_mounts[0]: additionalProperties "readonly" not allowed',
        ),
        (
            {"bind_mounts": [{"host_path": "/a"}]},
            SANE + '<config>.bind_mounts[0]: missing properties: "container_path"',
        ),
        (
            {"bind_mounts": [{"host_path": "a", "container_path": "/b"}]},
            SANE + "<config>.bind_mounts[0].host_path: host_path must be an absolute path",
        ),
        (
            {"environment": {"environment_variables": {"A": 1}}},
            SANE
            + "<config>.environment.environment_variables: is neither a list of strings nor a map of cpu, cuda, or "
            "rocm to lists of strings",
        ),
        (
            {"environment": {"environment_variables": [{"A": 1}]}},
            SANE
            + "<config>.environment.environment_variables: is neither a list of strings nor a map of cpu, cuda, or "
            "rocm to lists of strings",
        ),
        (
            {"environment": {"image": {"cpus": "x:1"}}},
            SANE + "<config>.environment.image: is neither a string nor a map of cpu, cuda, or rocm to strings",
        ),
        (
            {"environment": {"pod_spec": {"spec": {"containers": [{"name": "determined-container", "image": "x"}]}}}},
            SANE
            + "<config>.environment.pod_spec.spec.containers[0]: container Image is not configurable, set it in the "
            "experiment config",
        ),
        ({"resources": {"shm_size": "lots"}}, SANE + "<config>.resources.shm_size: must be a valid memory size"),
        (
            {"resources": {"shm_size": "2g"}},
            "unable to unmarshal experiment config as version 0: json: cannot unmarshal string into Go struct field "
            "ExperimentConfigV0.resources.shm_size of type int",
        ),
        (
            {"log_policies": [{"patern": "x"}]},
            SANE + '<config>.log_policies[0]: "name" must be set, and "pattern" is also required unless you intend to '
            'disable an existing policy\n<config>.log_policies[0]: additionalProperties "patern" not allowed',
        ),
        (
            {"log_policies": [{"name": "a"}, {"name": "a"}]},
            'unable to unmarshal experiment config as version 0: log_policies have duplicated names "a"',
        ),
        # what must be there in the end
        ({"searcher": None}, INCOMPLETE + "<config>: searcher is a required property"),
        (
            {"searcher": {"name": "single"}},
            INCOMPLETE + "\n".join(["<config>.searcher: metric is a required property"] * 2),
        ),
        (
            {"searcher": {"name": "random", "metric": "m"}},
            INCOMPLETE + "<config>.searcher: max_trials is a required property",
        ),
        (
            {"checkpoint_storage": {"type": "s3"}},
            INCOMPLETE + "<config>.checkpoint_storage: bucket is a required property",
        ),
        ({"searcher": ASHA}, "the `adaptive_asha` searcher requires `max_time` and `time_metric` to be set"),
        (
            {"searcher": {"name": "custom", "metric": "m"}},
            "the 'custom' searcher has been removed and is not valid for new experiments",
        ),
    ],
)
def test_a_configuration_is_refused_in_the_masters_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal) as caught:
        complete({**MINIMAL, **changes})
    assert caught.value.message == f"invalid experiment configuration: {words}"
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    "changes",
    [
        hyper({"type": "categorical", "vals": []}),
        hyper({"type": "const", "val": {"type": "int"}}),
        {"records_per_epoch": -1},
        {"resources": {"weight": -1}},
        {"resources": {"devices": ["/dev/a:/dev/b:rw", {"host_path": "/x", "container_path": "/y"}]}},
        {"checkpoint_storage": {"type": "directory", "container_path": "x"}},
        {"log_policies": [{"pattern": "(", "action": "cancel_retries"}]},
        {"log_policies": [{"pattern": "x", "action": {"type": "exclude_node"}}]},
        {"tensorboard_storage": {"type": "s3", "bucket": "b"}},
        {"data_layer": {"anything": 1}},
        {"preemption_timeout": 5},
    ],
)
def test_what_looks_odd_but_is_taken(changes: dict[str, Any]) -> None:
    complete({**MINIMAL, **changes})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "{a: [",
            "unable to convert yaml to json: not valid yaml: error converting YAML to JSON: yaml: line 1: did not "
            "find expected node content",
        ),
        (
            "a:\n\t- b",
            "unable to convert yaml to json: not valid yaml: error converting YAML to JSON: yaml: line 2: found "
            "character that cannot start any token",
        ),
        (
            "[1]",
            "unable to unmarshal json-formatted experiment config: json: cannot unmarshal array into Go value of type "
            'struct { Version int "json:\\"version\\"" }',
        ),
        (
            "just text",
            "unable to unmarshal json-formatted experiment config: json: cannot unmarshal string into Go value of "
            'type struct { Version int "json:\\"version\\"" }',
        ),
        ("", SANE + "<config>: expected object, but got null"),
        ("a: 1\n---\nb: 2", SANE + '<config>: additionalProperties "a" not allowed'),
    ],
)
def test_what_is_no_configuration_is_refused_in_the_masters_words(text: str, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        reader.parse(text)
    assert caught.value.message == f"invalid experiment configuration: {words}"


def test_the_configuration_has_the_form_that_the_master_shows() -> None:
    config = complete({**MINIMAL, "labels": ["b", "a", "b"], "log_policies": [{"name": "ECC Error"}]})
    assert not {"data_layer", "internal", "retention_policy", "security", "tensorboard_storage"} & set(config)
    assert not {"agent_label", "slots"} & set(config["resources"])
    assert config["slurm"] == config["pbs"] == {}
    assert config["preemption_timeout"] == 3600 and config["labels"] == ["a", "b"]
    assert (config["workspace"], config["project"]) == ("", "")
    # A policy without a pattern turns off the one of its name.
    assert config["log_policies"] == [
        {"name": "ECC Error"},
        {"name": "CUDA OOM", "pattern": ".*CUDA out of memory.*"},
    ]


def test_lengths_of_every_form_are_taken() -> None:
    for length in (100, {"batches": 100}, {"epochs": 2}, {"records": 5}):
        searcher = {"name": "single", "metric": "loss", "max_length": length}
        assert complete({**MINIMAL, "searcher": searcher})["searcher"]["max_length"] == length


def test_template_fills_what_is_left_out() -> None:
    config = complete({**MINIMAL, "max_restarts": 1}, {"max_restarts": 7, "description": "d", "labels": ["t"]})
    assert (config["max_restarts"], config["description"], config["labels"]) == (1, "d", ["t"])


def test_a_template_adds_to_lists_and_maps() -> None:
    def mount(host: str, container: str) -> dict[str, str]:
        return {"host_path": host, "container_path": container}

    own = {
        "bind_mounts": [mount("/own", "/x")],
        "environment": {"environment_variables": ["A=own"]},
        "hyperparameters": {"deep": {"x": 1}, "lr": 0.1},
        "checkpoint_storage": {"type": "directory", "container_path": "/x"},
    }
    template = {
        "bind_mounts": [mount("/other", "/x"), mount("/more", "/y")],
        "environment": {"environment_variables": {"cpu": ["A=template", "B=1"]}},
        "hyperparameters": {"deep": {"y": 2}, "lr": {"type": "int", "minval": 1, "maxval": 2}},
        "checkpoint_storage": {"type": "s3", "bucket": "b"},
        "searcher": {"name": "single", "metric": "m"},
    }
    config = complete(own, template)
    assert [each["host_path"] for each in config["bind_mounts"]] == ["/own", "/more"]
    # A later variable overrides an earlier one.
    assert config["environment"]["environment_variables"]["cpu"] == ["A=template", "B=1", "A=own"]
    assert set(config["hyperparameters"]["deep"]) == {"x", "y"} and config["hyperparameters"]["lr"]["val"] == 0.1
    assert "bucket" not in config["checkpoint_storage"]


def test_secrets_are_masked_and_come_back_in_a_fork() -> None:
    data = {"secrets": {"a": "secret-a-1"}, "pachyderm": {"token": "secret-b-2", "host": "h"}, "n": 1}
    config = complete({**MINIMAL, "data": data})
    shown = masking.mask(config)
    assert "secret-" not in json.dumps(shown) and shown["data"]["pachyderm"]["host"] == "h"
    assert masking.secret_values(config) == ["secret-a-1", "secret-b-2"]
    assert masking.mask_text("x secret-a-1 y", masking.secret_values(config)) == "x ******** y"
    assert masking.unmask(shown, config) == config


def test_yaml_is_read_as_the_master_reads_it() -> None:
    found = reader.load("a: No\nb: 1e-4\nc: true\nd: 2024-01-01\n7: x\ne: 5.0\na: Yes\n")
    assert found == {"a": "Yes", "b": 0.0001, "c": True, "d": "2024-01-01", "7": "x", "e": 5}
    assert isinstance(found["e"], int)


# -- against the official schemas ------------------------------------------------------------------------------------

REFERENCE = reference_dir()
SCHEMAS = REFERENCE / "schemas" / "determined" if REFERENCE else None
#: What says nothing about the value.
SILENT = {"$schema", "$id", "title", "$comment"}


@pytest.mark.skipif(SCHEMAS is None or not (SCHEMAS / "experiment.json").exists(), reason="the schemas are not here")
def test_the_rules_equal_the_official_schemas() -> None:
    assert SCHEMAS is not None
    official = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    seen: set[tuple[int, str]] = set()

    def compare(own: Any, theirs: Any, place: str) -> None:
        if isinstance(own, dict) and isinstance(theirs, dict):
            key = (id(own), json.dumps(theirs, sort_keys=True))
            if key in seen:
                return
            seen.add(key)
            wanted = {name: value for name, value in theirs.items() if name not in SILENT}
            wanted = {name: value for name, value in wanted.items() if (name, value) not in EMPTY}
            if "$ref" in wanted:
                # Nothing else counts beside a reference.
                wanted = {name: value for name, value in wanted.items() if name in ("$ref", "unionKey")}
            assert set(own) == set(wanted), place
            for name, value in wanted.items():
                refers = name in ("$ref", "optionalRef")
                compare(own[name], official[value.rpartition("/")[2]] if refers else value, f"{place}/{name}")
        elif isinstance(own, list) and isinstance(theirs, list):
            assert len(own) == len(theirs), place
            for index, (mine, other) in enumerate(zip(own, theirs, strict=True)):
                compare(mine, other, f"{place}/{index}")
        else:
            assert (type(own), own) == (type(theirs), theirs), place

    compare(EXPERIMENT, official["experiment.json"], "")
    assert len(seen) > 200


EMPTY = [("required", []), ("eventuallyRequired", [])]
