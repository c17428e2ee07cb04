"""Kubeconfigs as people have them: lists, token files, damaged ones. A sentence says what is wrong."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from pdk_nb.cli import main
from pdk_nb.settings import api_client
from pdk_shared.errors import SettingsError

TOKEN = "0a1b2c3d4e5f-secret"
WHOLE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "u", "user": {"token": TOKEN}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "x",
}


def changed(**parts: object) -> str:
    return yaml.safe_dump({**copy.deepcopy(WHOLE), **parts})


def with_user(**user: object) -> str:
    return changed(users=[{"name": "u", "user": user}])


MALFORMED = {
    "no YAML": "clusters: [\n",
    "a tab": "clusters:\n\t- name: c\n",
    "empty": "",
    "a list": "- a\n- b\n",
    "a number": "42",
    "a text": "hello",
    "control characters": "\x00\x01\x02",
    "no clusters": changed(clusters=None),
    "clusters is a text": changed(clusters="c"),
    "clusters without names": changed(clusters=[{"cluster": {}}]),
    "clusters of numbers": changed(clusters=[1, 2]),
    "the server is a number": changed(clusters=[{"name": "c", "cluster": {"server": 42}}]),
    "the cluster is a text": changed(clusters=[{"name": "c", "cluster": "here"}]),
    "the authority is no base64": changed(
        clusters=[{"name": "c", "cluster": {"server": "https://127.0.0.1:9", "certificate-authority-data": "###"}}]
    ),
    "the authority is a number": changed(
        clusters=[{"name": "c", "cluster": {"server": "https://127.0.0.1:9", "certificate-authority-data": 7}}]
    ),
    "no such context": changed(**{"current-context": "y"}),
    "the context is a list": changed(**{"current-context": ["x"]}),
    "no current context": changed(**{"current-context": ""}),
    "a context without its user": changed(contexts=[{"name": "x", "context": {"cluster": "c", "user": "w"}}]),
    "a context without its cluster": changed(contexts=[{"name": "x", "context": {"user": "u"}}]),
    "a user with a list as token": with_user(token=["a"]),
    "an entry with a token and no user": changed(users=[{"name": "u", "token": TOKEN}]),
    "no such token file": with_user(tokenFile="/nowhere/token"),
    "a token with a line in it": with_user(token=f"{TOKEN}\nX-Header: 1"),
    "a token with a letter outside ASCII": with_user(token=f"{TOKEN}é"),
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=list(MALFORMED))
def test_a_malformed_kubeconfig_is_told_in_a_sentence_without_secrets(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"^The kubeconfig can't be used: ") as caught:
        api_client(path)
    assert TOKEN not in str(caught.value)
    assert str(path) in caught.value.where


def test_a_binary_kubeconfig_and_a_binary_token_file_are_told(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="it isn't text"):
        api_client(path)
    (tmp_path / "token").write_bytes(b"\xff\xfe\x00")
    path.write_text(with_user(tokenFile="token"))
    with pytest.raises(SettingsError, match="can't be used"):
        api_client(path)


@pytest.mark.parametrize("command", ["predict x.jpg", "config init", "config env", "reset --yes", "doctor"])
@pytest.mark.parametrize("content", [MALFORMED["no YAML"], MALFORMED["the server is a number"], yaml.safe_dump(WHOLE)])
def test_every_command_says_it_once_and_fails(
    tmp_path: Path, command: str, content: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    assert main([*command.split(), "--kubeconfig", str(path)]) != 0
    said = capfd.readouterr()
    text = said.out + said.err
    assert "Traceback" not in text and "report" not in text and TOKEN not in text
    assert text.count("The kubeconfig can't be used") + text.count("doesn't answer") == 1


def test_the_doctor_fails_when_it_could_not_look_at_one_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config"
    path.write_text("clusters: [\n")
    assert main(["doctor", "--only", "storage", "--only", "clock", "--kubeconfig", str(path)]) == 1
    out = capsys.readouterr().out
    assert out.count("The kubeconfig can't be used") == 1
    assert "clock" in out and "storage" in out


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", "\n{}\n\n", "{} "])
def test_what_surrounds_a_token_in_its_file_goes(tmp_path: Path, around: str) -> None:
    (tmp_path / "token").write_text(around.format(TOKEN))
    path = tmp_path / "config"
    path.write_text(with_user(tokenFile="token"))
    assert list(api_client(path).configuration.api_key.values()) == [f"Bearer {TOKEN}"]


def test_a_list_of_kubeconfigs_is_merged_as_kubectl_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = copy.deepcopy(WHOLE), copy.deepcopy(WHOLE)
    first["clusters"] = first["users"] = None
    second["contexts"] = [{"name": "y", "context": {"cluster": "other", "user": "u"}}]
    second["current-context"] = "y"
    (tmp_path / "below").mkdir()
    second["users"] = [{"name": "u", "user": {"tokenFile": "token"}}]
    (tmp_path / "below" / "token").write_text(TOKEN)
    (tmp_path / "a").write_text(yaml.safe_dump(first))
    (tmp_path / "below" / "b").write_text(yaml.safe_dump(second))
    files = ["a", "missing", "below/b"]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(str(tmp_path / each) for each in files))
    configuration = api_client().configuration
    assert configuration.host == "http://127.0.0.1:9", "the first current-context counts"
    assert list(configuration.api_key.values()) == [f"Bearer {TOKEN}"]
