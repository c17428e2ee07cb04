"""Secrets of configurations, and of checkpoints that hold one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from pdk_stack.determined.core.masking import LOAD_DATA, MASK, mask, mask_checkpoint, mask_submitted, secret_values


@pytest.mark.parametrize("name", ["token", "pachyderm_token", "password", "key", "api_key", "SECRET", "credentials"])
def test_secret_names(name: str) -> None:
    config = {"data": {"store": {name: "hidden-value"}}}
    assert mask(config) == {"data": {"store": {name: MASK}}}
    assert secret_values(config) == ["hidden-value"]


@pytest.mark.parametrize("name", ["tokenizer", "sort_key", "max_tokens_per_batch", "keys", "host"])
def test_plain_names(name: str) -> None:
    config = {"data": {name: "shown-value"}}
    assert mask(config) == config


@pytest.mark.parametrize("secret", ["abc", "a-long-secret", 1234])
def test_submitted_text_is_masked_however_short_the_secret_is(secret: object) -> None:
    config = {"name": "abc-1234", "data": {"token": secret, "n": 1}}
    text = f"name: abc-1234 # mine\ndata: {{token: {secret}, n: 1}}\n"
    shown = mask_submitted(text, config)
    assert yaml.safe_load(shown) == {"name": "abc-1234", "data": {"token": MASK, "n": 1}}
    assert mask_submitted("name: x # mine\n", {"name": "x"}) == "name: x # mine\n"


def test_checkpoint_loses_its_secrets_and_nothing_else(tmp_path: Path) -> None:
    content = {
        "trial_type": "PyTorchTrial",
        "hparams": {"token": 3},
        "experiment_config": {"data": {"token": "hidden-value", "n": 1}},
    }
    path = tmp_path / LOAD_DATA
    path.write_text(json.dumps(content))
    path.chmod(0o640)
    size = mask_checkpoint(tmp_path)
    content["experiment_config"] = {"data": {"token": MASK, "n": 1}}
    assert json.loads(path.read_text()) == content
    assert size == path.stat().st_size and path.stat().st_mode & 0o777 == 0o640
    # Once is enough, and there is no file beside it.
    assert mask_checkpoint(tmp_path) is None and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", '{"experiment_config": null}'])
def test_other_files_stay_as_they_are(tmp_path: Path, text: str) -> None:
    (tmp_path / LOAD_DATA).write_text(text)
    assert mask_checkpoint(tmp_path) is None
    assert (tmp_path / LOAD_DATA).read_text() == text
