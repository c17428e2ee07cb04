"""Pipeline specs: equal to the committed files, right by the official schema, and consistent with each other."""

from __future__ import annotations

import copy
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from pdk_nb import specs
from pdk_nb.errors import SpecError
from pdk_nb.settings import from_maps
from tests.reference import reference_dir

EMBEDDED = {
    "kserve_model_bucket_name": "N/A",
    "registry_uri": "embedded",
    "git_url": "file:///checkout",
    "git_ref": "",
    "mldm_pipeline_secret": "other-secret",
    "resource_pool": "cpu-pool",
}


@pytest.mark.parametrize("variant", ["cloud", "onprem"])
def test_the_committed_files_are_what_is_rendered(variant: Any) -> None:
    folder = specs.examples_folder() / "dog-cat" / "pipelines"
    for name, spec in zip(specs.FILES[variant], specs.render(variant=variant), strict=True):
        assert (folder / name).read_text() == specs.text(spec), "run: python -m pdk_nb.specs"


@pytest.mark.parametrize("variant", ["cloud", "onprem"])
def test_the_official_schema_accepts_them(variant: Any) -> None:
    folder = reference_dir()
    if folder is None:
        pytest.skip("no reference folder with the official schemas")
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((folder / "schemas" / "pachyderm" / "CreatePipelineRequest.schema.json").read_text())
    checker = jsonschema.Draft4Validator(schema)
    for spec in specs.render(variant=variant):
        assert [error.message for error in checker.iter_errors(specs.camel_case(spec))] == []
        broken = {**specs.camel_case(spec), "datumTry": 1}
        assert list(checker.iter_errors(broken))


@pytest.mark.parametrize("variant", ["cloud", "onprem"])
def test_the_stages_parse_their_own_command_lines(variant: Any) -> None:
    from pdk_nb.stages import deploy
    from pdk_nb.stages import train as train_stage

    train, spec = specs.render(variant=variant)
    words = shlex.split(spec["transform"]["stdin"][-1])
    assert words[:3] == ["exec", "python", "deploy.py"]
    options = deploy.parse_arguments(words[3:])
    assert options.deployment_name == "dog-cat"
    assert (options.cloud_model_host is None) == (variant == "onprem")
    assert options.service_account_name == ("pach-deploy" if variant == "onprem" else "")
    train_words = shlex.split(train["transform"]["stdin"][-1])
    assert train_words[:3] == ["exec", "python", "train.py"]
    given = train_stage.parser().parse_args(train_words[3:])
    assert (given.repo, given.model, given.sub_dir) == (
        "dogs-and-cats-data",
        "dogs-and-cats",
        "examples/dog-cat/experiment",
    )
    assert (specs.examples_folder().parent / given.sub_dir / given.config).is_file()


def test_on_prem_mounts_the_checkpoints_and_runs_as_root() -> None:
    jsonpatch = pytest.importorskip("jsonpatch")
    pod = {"containers": [{"name": "user", "volumeMounts": []}], "volumes": []}
    for spec in specs.render(variant="onprem"):
        patched = jsonpatch.apply_patch(pod, json.loads(spec["pod_patch"]))
        assert patched["volumes"][0]["hostPath"]["path"] == "/mnt/efs/shared_fs/determined"
        assert patched["containers"][0]["volumeMounts"][0]["mountPath"] == "/determined_shared_fs"
        assert patched["containers"][0]["securityContext"]["runAsUser"] == 0
    assert all("pod_patch" not in spec for spec in specs.render(variant="cloud"))


def test_both_variants_differ_only_where_they_should() -> None:
    (cloud, _), (onprem, _) = specs.render(variant="cloud"), specs.render(variant="onprem")
    assert {key: value for key, value in onprem.items() if key != "pod_patch"} == cloud


def test_values_come_from_the_cluster() -> None:
    settings = from_maps(EMBEDDED)
    assert specs.variant_for(settings) == "onprem"
    params = specs.params_for(settings, incremental=False, train_args=("--profile", "cpu"))
    train, deploy = specs.render(variant="onprem", params=params)
    assert train["transform"]["image"].startswith("embedded/pdk-lab-train:")
    assert deploy["transform"]["image"].startswith("embedded/pdk-lab-deploy:")
    words = shlex.split(train["transform"]["stdin"][-1])
    assert "file:///checkout" in words
    assert "--git-ref" not in words
    assert words[words.index("--resource-pool") + 1] == "cpu-pool"
    assert words[-3:] == ["--no-incremental", "--profile", "cpu"]
    assert {each["name"] for each in train["transform"]["secrets"]} == {"other-secret"}
    # Nothing to mount: no checkpoint folder is named.
    assert "pod_patch" not in deploy


@pytest.mark.parametrize(
    ("config", "host"),
    [
        ({"kserve_model_bucket_name": "N/A"}, ""),
        ({"kserve_model_bucket_name": "b", "region": "us-central1"}, "gcp"),
        ({"kserve_model_bucket_name": "b", "region": "us-east-2"}, "aws"),
        ({"kserve_model_bucket_name": "b", "region": "US", "minio_url": "http://minio:9000"}, "aws"),
        ({"model_assets_bucket_name": "b", "registry_uri": "us-docker.pkg.dev/p/r"}, "gcp"),
        ({"kserve_model_bucket_name": "b", "cloud_model_host": "gcp", "region": "us-east-2"}, "gcp"),
    ],
)
def test_the_kind_of_cloud_is_seen(config: dict[str, str], host: str) -> None:
    settings = from_maps(config)
    assert specs.cloud_host(settings) == host
    if host:
        _, deploy = specs.render(variant="cloud", params=specs.params_for(settings))
        assert f"--cloud-model-host {host} --cloud-model-bucket b" in deploy["transform"]["stdin"][-1]


def test_words_with_spaces_reach_the_stage_whole() -> None:
    train, _ = specs.render(params=specs.params_for(git_url="file:///home/a b/$(touch x)"))
    assert "file:///home/a b/$(touch x)" in shlex.split(train["transform"]["stdin"][-1])
    assert train["transform"]["stdin"][0] == "set -e"


def test_contradictions_are_named() -> None:
    train, deploy = specs.render()
    assert specs.check(train, deploy) == []
    edited = copy.deepcopy(train)
    edited["input"]["pfs"]["repo"] = "renamed"
    assert any("--repo" in each for each in specs.check(edited, deploy))
    other = copy.deepcopy(deploy)
    other["input"]["pfs"]["repo"] = "elsewhere"
    other["transform"]["secrets"] = other["transform"]["secrets"][1:]
    problems = specs.check(train, other)
    assert any("elsewhere" in each for each in problems)
    assert any("DET_MASTER" in each for each in problems)


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(SpecError, match="no parameter"):
        specs.params_for(colour="blue")
    with pytest.raises(SpecError, match="no example"):
        specs.params_for(example="absent")
    with pytest.raises(SpecError, match="bucket"):
        specs.render(params=specs.params_for(bucket=""))


def test_writing_gives_the_four_files(tmp_path: Path) -> None:
    assert sorted(path.name for path in specs.write(folder=tmp_path)) == sorted(sum(specs.FILES.values(), ()))
