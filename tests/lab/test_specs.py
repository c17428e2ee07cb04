"""Pipeline specs: equal to the committed files, right by the official schema, and consistent with each other."""

from __future__ import annotations

import ast
import copy
import itertools
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import jsonpatch
import jsonschema
import pytest

from pdk_nb import cli, specs
from pdk_nb.names import Names
from pdk_nb.settings import SECRET_KEYS, from_maps
from pdk_shared.errors import SpecError, UsageError
from tests.support.reference import official_pipeline_schema

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
        assert (folder / name).read_text() == specs.text(spec), "run: pdk-nb specs render"


@pytest.mark.parametrize("variant", ["cloud", "onprem"])
def test_the_official_schema_accepts_them(variant: Any) -> None:
    checker = jsonschema.Draft4Validator(official_pipeline_schema())
    for spec in specs.render(variant=variant):
        assert [error.message for error in checker.iter_errors(specs.camel_case(spec))] == []
        broken = {**specs.camel_case(spec), "datumTry": 1}
        assert list(checker.iter_errors(broken))


@pytest.mark.parametrize("variant", ["cloud", "onprem"])
def test_the_stages_parse_their_own_command_lines(variant: Any) -> None:
    from pdk_nb.stages import deploy_options, train_options

    train, spec = specs.render(variant=variant)
    words = shlex.split(spec["transform"]["stdin"][-1])
    assert words[:3] == ["exec", "python", "deploy.py"]
    options = deploy_options.parse_arguments(words[3:])
    assert options.deployment_name == "dog-cat"
    assert options.gate == ("accuracy", 0.8)
    assert (options.cloud_model_host is None) == (variant == "onprem")
    assert options.service_account_name == ("pach-deploy" if variant == "onprem" else "")
    train_words = shlex.split(train["transform"]["stdin"][-1])
    assert train_words[:3] == ["exec", "python", "train.py"]
    given = train_options.parse_arguments(train_words[3:])
    assert (given.repo, given.model, given.sub_dir) == (
        "dogs-and-cats-data",
        "dogs-and-cats",
        "examples/dog-cat/experiment",
    )
    assert (specs.examples_folder().parent / given.sub_dir / given.config).is_file()


def test_on_prem_mounts_the_checkpoints_and_runs_as_root() -> None:
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


def test_the_cluster_may_say_what_models_ask_for() -> None:
    config = {**EMBEDDED, "predictor_requests": "cpu=250m, memory=1Gi", "predictor_limits": "memory=3Gi"}
    _, deploy = specs.render(variant="onprem", params=specs.params_for(from_maps(config)))
    words = shlex.split(deploy["transform"]["stdin"][-1])
    assert words[words.index("--resource-requests") + 1] == "cpu=250m,memory=1Gi"
    # By key: a limit that isn't named stays the example's, or KServe's runtime would give its own.
    assert words[words.index("--resource-limits") + 1] == "cpu=4,memory=3Gi"
    with pytest.raises(UsageError, match="'cpu' isn't key=value"):
        specs.params_for(from_maps({**EMBEDDED, "predictor_requests": "cpu"}))


def test_an_opened_gate_is_another_choice_than_none() -> None:
    for choice, flags in (({}, ["--min-accuracy", "0.8"]), ({"gate_minimum": 0.0}, [])):
        _, deploy = specs.render_for(from_maps(EMBEDDED), Names(), git_url="", **choice)
        words = shlex.split(deploy["transform"]["stdin"][-1])
        assert [word for pair in itertools.pairwise(words) if pair[0] == "--min-accuracy" for word in pair] == flags


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ({"predictor_requests": "cpu=4"}, ""),
        ({"predictor_requests": "cpu=4001m"}, "cpu=4001m exceeds the limit cpu=4"),
        ({"predictor_requests": "memory=5Gi"}, "memory=5Gi exceeds the limit memory=4Gi"),
        ({"predictor_requests": "memory=5Gi", "predictor_limits": "memory=5120Mi"}, ""),
        ({"predictor_limits": "cpu=500m"}, "cpu=2 exceeds the limit cpu=500m"),
        ({"predictor_requests": "nvidia.com/gpu=1"}, ""),
        ({"predictor_requests": "cpu=much"}, "isn't a quantity"),
    ],
)
def test_a_request_above_its_limit_never_reaches_kserve(config: dict[str, str], refused: str) -> None:
    settings = from_maps({**EMBEDDED, **config})
    if refused:
        with pytest.raises(SpecError, match=refused):
            specs.params_for(settings)
    else:
        specs.params_for(settings)


def test_workers_ask_for_what_they_need_and_not_for_pachyderms_default() -> None:
    for spec in specs.render():
        for field in ("resource_requests", "sidecar_resource_requests"):
            assert spec[field]["cpu"] <= 0.25, "two pipelines with the defaults ask for 4 CPUs"


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
    assert settings.models_host == host
    if host:
        _, deploy = specs.render(variant="cloud", params=specs.params_for(settings))
        assert f"--cloud-model-host {host} --cloud-model-bucket b" in deploy["transform"]["stdin"][-1]


def test_a_bucket_on_minio_gets_its_address_and_keys() -> None:
    config = {"kserve_model_bucket_name": "b", "minio_url": "http://minio:9000"}
    _, deploy = specs.render(variant="cloud", params=specs.params_for(from_maps(config)))
    assert "--cloud-model-endpoint http://minio:9000" in deploy["transform"]["stdin"][-1]
    mapped = {each["env_var"]: each["key"] for each in deploy["transform"]["secrets"]}
    assert specs.BUCKET_SECRETS.items() <= mapped.items()
    assert "--service-account-name pach-deploy" in deploy["transform"]["stdin"][-1]
    # Checkpoints in a folder of the nodes are mounted all the same.
    assert "pod_patch" not in deploy
    params = specs.params_for(from_maps({**config, "mlde_bucket_name": "/mnt/checkpoints"}))
    for spec in specs.render(variant="cloud", params=params):
        assert '"path": "/mnt/checkpoints"' in spec["pod_patch"]
    _, plain = specs.render(variant="cloud")
    assert not {each["env_var"] for each in plain["transform"]["secrets"]} & set(specs.BUCKET_SECRETS)


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


def test_specs_that_people_wrote_themselves_are_understood() -> None:
    train, deploy = copy.deepcopy(specs.render(variant="onprem"))
    # Without a shell, and with the schema's own spelling.
    train["transform"]["cmd"] = shlex.split(train["transform"].pop("stdin")[-1])[1:]
    train["datumTries"] = train.pop("datum_tries")
    assert specs.check(train, deploy) == []
    del train["datumTries"]
    deploy["pod_patch"] = "- op: add"
    deploy["transform"]["stdin"][-1] += " --cloud-model-host gcp"
    problems = specs.check(train, deploy)
    assert len(problems) == 3
    assert any("datum_tries" in each for each in problems)
    assert any("RFC 6902" in each for each in problems)
    assert any("go together" in each for each in problems)


# What Pachyderm's worker itself sets (src/server/worker/driver/driver.go), and what the images do.
WORKERS_OWN = {"PACH_JOB_ID", "PACH_TOKEN", "PPS_PIPELINE_NAME", "PPS_PROJECT_NAME", "HOME"}
# Kubernetes gives every pod the addresses of its namespace's services.
KUBERNETES_OWN = {"PACHD_PEER_SERVICE_HOST", "PACHD_PEER_SERVICE_PORT"}
# Between the stage and what it calls.
STAGES_OWN = {"SERVING_MODE", "GOOGLE_APPLICATION_CREDENTIALS", "PDK_PFS_ROOT"}


@pytest.mark.parametrize(
    ("secrets", "modules"),
    [
        (specs.TRAIN_SECRETS, ("train", "experiment", "experiment_run", "registering", "resuming", "process")),
        (specs.DEPLOY_SECRETS, ("deploy", "checkpoint", "model_info", "packing", "process")),
    ],
)
def test_the_secrets_are_the_variables_that_the_code_reads(secrets: dict[str, str], modules: tuple[str, ...]) -> None:
    folder = specs.examples_folder().parent / "pdk_nb" / "stages"
    words = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|HOME")
    stage = [ast.parse((folder / f"{module}.py").read_text()) for module in modules]
    used = {each.attr for tree in stage for each in ast.walk(tree) if isinstance(each, ast.Attribute)}
    # Of the worker's environment counts what the stage asks for.
    worker = [
        each
        for each in ast.walk(ast.parse((folder / "worker.py").read_text()))
        if isinstance(each, ast.FunctionDef) and each.name in {*used, "pfs_root"}
    ]
    texts = {
        each.value
        for tree in (*stage, *worker)
        for each in ast.walk(tree)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }
    read = {each for each in texts if words.fullmatch(each)}
    # States of an experiment and the modules' own exported names look like variables.
    read = {each for each in read if not each.startswith("STOPPING_")} - {"FILE_NAME", "HANDLER_FOLDER"}
    assert set(secrets) <= read, "a secret is mapped to a variable that nobody reads"
    assert read - set(secrets) <= WORKERS_OWN | KUBERNETES_OWN | STAGES_OWN, "a variable is read that nobody sets"


def test_the_secrets_are_the_keys_that_the_lab_knows() -> None:
    assert {*specs.TRAIN_SECRETS.values(), *specs.DEPLOY_SECRETS.values()} == set(SECRET_KEYS)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the examples that may be written."""
    shutil.copytree(specs.examples_folder(), tmp_path / "examples")
    monkeypatch.setattr("pdk_nb.example.reading.examples_folder", lambda: tmp_path / "examples")
    return tmp_path / "examples" / "dog-cat" / "pipelines"


def test_pushed_images_are_named_by_digest(example: Path) -> None:
    digest = "sha256:" + "a" * 64
    pushed = {"train": {"image": f"10.0.0.1:5000/pdk/pdk-lab-train@{digest}"}}
    (example / specs.IMAGES_FILE).write_text(json.dumps(pushed))
    for variant in ("cloud", "onprem"):
        train, deploy = specs.render(variant=variant)
        assert train["transform"]["image"] == pushed["train"]["image"]
        # This one was not pushed.
        assert deploy["transform"]["image"].startswith("registry.example.com/pdk/pdk-lab-deploy:")
    same = specs.params_for(from_maps({**EMBEDDED, "registry_uri": "10.0.0.1:5000/pdk"}))
    assert same.train_image == pushed["train"]["image"]
    # A cluster with another registry cannot pull it.
    assert specs.params_for(from_maps(EMBEDDED)).train_image.startswith("embedded/pdk-lab-train:")
    (example / specs.IMAGES_FILE).write_text('{"train": "x"}')
    with pytest.raises(SpecError, match="images push|can't be read"):
        specs.render()


def test_the_commands(example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["specs", "render", "--out", str(tmp_path / "out")]) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in written] == [*specs.FILES["cloud"], *specs.FILES["onprem"]]
    train, deploy = written[:2]
    assert cli.main(["specs", "check", str(train), str(deploy)]) == 0
    spec = specs.read(deploy)
    spec["input"]["pfs"]["repo"] = "elsewhere"
    deploy.write_text(specs.text(spec))
    assert cli.main(["specs", "check", str(train), str(deploy)]) == 1
    assert "the deploy pipeline reads elsewhere" in capsys.readouterr().out
    deploy.write_text("{}")
    assert cli.main(["specs", "check", str(train), str(deploy)]) == 1
    assert "isn't a pipeline spec" in capsys.readouterr().err
    assert cli.main(["specs", "render", "--kubeconfig", "x"]) == 2


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(SpecError, match="isn't a parameter"):
        specs.params_for(colour="blue")
    with pytest.raises(SpecError, match="no example"):
        specs.params_for(example="absent")
    with pytest.raises(SpecError, match="bucket"):
        specs.render(params=specs.params_for(bucket=""))


def test_writing_gives_the_four_files(tmp_path: Path) -> None:
    assert sorted(path.name for path in specs.write(folder=tmp_path)) == sorted(sum(specs.FILES.values(), ()))
