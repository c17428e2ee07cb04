"""Contract tests: the same against the embedded stack (the default) and against a real cluster.

``PDK_KUBECONFIG=~/.kube/config make contract`` runs them on a cluster. Everything that they make carries the names of a
participant of their own, and is removed afterwards, also when a test fails.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from pdk_nb import lab as pdk

KUBECONFIG_VARIABLE = "PDK_KUBECONFIG"


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> str:
    """The cluster under test."""
    chosen = os.environ.get(KUBECONFIG_VARIABLE, "")
    if chosen:
        return os.path.expanduser(chosen)
    # Only now: a real cluster needs no stack.
    return str(request.getfixturevalue("shared_stack")["kubeconfig"])


@pytest.fixture(scope="module")
def lab(kubeconfig: str) -> Iterator[pdk.Lab]:
    """A participant of this run's own, with projects and nothing else."""
    found = pdk.connect(kubeconfig, participant=f"ct-{secrets.token_hex(3)}")
    assert not found.clean_up_plan(), "somebody has this name already"
    try:
        found.create_projects()
        yield found
    finally:
        found.clean_up(found.clean_up_plan())
