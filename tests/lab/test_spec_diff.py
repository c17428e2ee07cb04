"""What an update would change: seen on the embedded Pachyderm, through its client and through the command line."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from google.protobuf import json_format

from pdk_nb import cli, specs
from pdk_nb import settings as settings_module
from pdk_nb.platforms import mldm
from pdk_nb.platforms.mldm import normal_form, running_spec
from pdk_nb.settings import Secret, Settings, from_maps
from pdk_nb.specs.diff import unified
from pdk_stack.pachyderm.api.grpc.later_messages import MESSAGES
from tests.support.processes import ServiceProcess

PROJECT = "pdk-dogs-and-cats"


def without_cluster_defaults(address: str) -> None:
    """Take back what a new cluster adds to every spec: servers before 2.8, which some tests stand for, add nothing."""
    request = MESSAGES["SetClusterDefaultsRequest"](cluster_defaults_json="{}")
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/pps_v2.API/SetClusterDefaults", type(request).SerializeToString)
        call(request, timeout=30, metadata=[("authn-token", "token-for-tests")])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    service = ServiceProcess("pachyderm", tmp_path_factory.mktemp("pachyderm"), {"root_token": "token-for-tests"})
    address = urlsplit(service.start().ready["pachd"])
    config = {"mldm_host": str(address.hostname), "mldm_port": str(address.port), "registry_uri": "embedded"}
    known = from_maps(config, {"pac_token": "token-for-tests"})
    client = mldm.connect(known)
    mldm.ensure_project(client, PROJECT)
    mldm.ensure_repo(client, PROJECT, "dogs-and-cats-data")
    keys = {key: "value" for key in (*specs.TRAIN_SECRETS.values(), *specs.DEPLOY_SECRETS.values())}
    client.create_secret("pipeline-secret", keys)
    without_cluster_defaults(f"{address.hostname}:{address.port}")
    yield known
    service.stop()


@pytest.fixture(scope="module")
def rendered(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    pair = specs.render(variant="onprem", params=specs.params_for(settings, variant="onprem", shared_folder="/mnt/fs"))
    client = mldm.connect(settings)
    assert [mldm.ensure_pipeline(client, spec) for spec in pair] == ["created", "created"]
    return pair


def present(settings: Settings, spec: dict[str, Any]) -> Any:
    return mldm.pipeline_info(mldm.connect(settings), PROJECT, spec["pipeline"]["name"])


def test_a_pipeline_is_compared_as_the_server_has_it(settings: Settings, rendered: Any) -> None:
    for spec in rendered:
        info = present(settings, spec)
        assert unified(spec, info) == ""
        assert unified(specs.camel_case(spec), info) == ""
        assert mldm.ensure_pipeline(mldm.connect(settings), spec) == "unchanged"
        # Servers before 2.8 do not keep the spec as it was written: its parts are read from the details.
        info.details_json = ""
        assert unified(spec, info) == ""


@pytest.mark.parametrize("kept", [True, False], ids=["as-written", "from-details"])
def test_every_kind_of_change_is_shown(settings: Settings, rendered: Any, kept: bool) -> None:
    train = rendered[0]
    info = present(settings, train)
    if kept:
        info.details_json = json.dumps(json_format.MessageToDict(running_spec(info)))
    else:
        info.details_json = ""
    edited = copy.deepcopy(train)
    edited["transform"]["image"] = "registry.example.com/pdk/pdk-lab-train@sha256:" + "0" * 64
    edited["transform"]["secrets"] = edited["transform"]["secrets"][1:]
    edited["parallelism_spec"] = {"constant": 2}
    # A field that the new spec leaves out goes back to the default.
    del edited["pod_patch"], edited["datum_tries"]
    lines = unified(edited, info, name="mine.json").splitlines()
    assert lines[:2] == [
        f"--- cluster: {PROJECT}/dogs-and-cats-model (version 1)",
        f"+++ mine.json: {PROJECT}/dogs-and-cats-model",
    ]
    removed, added = ([line[1:].strip() for line in lines[2:] if line.startswith(sign)] for sign in "-+")
    assert '"path": "/mnt/fs",' in removed
    assert '"env_var": "DET_MASTER",' in removed
    assert ('"datum_tries": 1,' in removed) and ('"datum_tries": 3,' in added)
    assert '"constant": "2"' in added
    assert any("@sha256:000" in line for line in added)


def test_a_pipeline_that_is_not_there_is_all_new(rendered: Any) -> None:
    text = unified(rendered[0], None)
    assert "(doesn't exist)" in text.splitlines()[0]
    assert not [line for line in text.splitlines()[2:] if line.startswith("-")]


def test_a_spec_that_cannot_be_read_back_is_taken_from_the_details(settings: Settings, rendered: Any) -> None:
    info = present(settings, rendered[0])
    expected = normal_form(running_spec(info))
    for text in ("no JSON", "[]", '{"other": 1}'):
        info.details_json = text
        assert normal_form(running_spec(info)) == expected


def test_the_command_answers_as_diff_does(
    settings: Settings, rendered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(settings_module, "load", lambda *given: settings)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.touch()
    where = ["--kubeconfig", str(kubeconfig)]
    paths = []
    for name, spec in zip(specs.FILES["onprem"], rendered, strict=True):
        paths.append(tmp_path / name)
        paths[-1].write_text(specs.text(spec))
    assert cli.main(["specs", "diff", *map(str, paths), *where]) == 0
    assert capsys.readouterr().out == ""
    # The cluster's own values name no shared folder, so an update would drop the mounts.
    assert cli.main(["specs", "diff", *where]) == 1
    said = capsys.readouterr()
    assert said.out.count("--- cluster:") == 2
    assert "det-checkpoints" in said.out
    assert "2 of 2 pipelines would change" in said.err
    paths[0].write_text("{")
    assert cli.main(["specs", "diff", str(paths[0]), *where]) == 2
    assert "isn't JSON" in capsys.readouterr().err
    assert cli.main(["specs", "render", "--cluster", "--out", str(tmp_path / "out"), *where]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(specs.FILES["onprem"])
    unreachable = Settings(None, "default", mldm_host="127.0.0.1", mldm_port=1, pac_token=Secret("x"))
    monkeypatch.setattr(settings_module, "load", lambda *given: unreachable)
    assert cli.main(["specs", "diff", *where]) == 2
