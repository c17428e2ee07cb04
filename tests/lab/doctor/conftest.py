"""The doctor's tests share a running stack, and a participant's lab on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdk_nb import lab as pdk
from pdk_nb.settings import Settings, load
from tests.support.doctor_tools import Stack


@pytest.fixture(scope="module")
def known(shared_stack: dict[str, str]) -> Settings:
    return load(shared_stack["kubeconfig"])


@pytest.fixture(scope="module")
def stack(shared_stack: dict[str, str]) -> Stack:
    return Stack.of(shared_stack["kubeconfig"])


@pytest.fixture(scope="module")
def core(stack: Stack) -> Any:
    return stack.core


@pytest.fixture(scope="module")
def lab(shared_stack: dict[str, str]) -> Iterator[pdk.Lab]:
    """A participant's project and pipelines."""
    found = pdk.connect(shared_stack["kubeconfig"], participant="doc")
    found.create_projects()
    found.create_pipelines()
    yield found
    found.clean_up(found.clean_up_plan())


@pytest.fixture
def worker(known: Settings, shared_stack: dict[str, str]) -> Settings:
    """The same cluster, as the pipelines' service account sees it."""
    (path,) = Path(shared_stack["state_dir"]).rglob("*worker*kubeconfig*")
    return replace(known, kubeconfig=str(path))
