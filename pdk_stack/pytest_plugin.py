"""A plugin for pytest: the embedded stack as a fixture, so that pipelines are tested without a cluster.

pytest finds it through the entry point group ``pytest11``. It loads in every test run of the environment, so importing
it stays cheap: nothing starts, and no client is imported, before a test asks for :func:`pdk_stack`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pdk_shared.announcement import STATE_VARIABLE
from pdk_shared.errors import PdkError

if TYPE_CHECKING:
    import python_pachyderm
    from determined.common.experimental.determined import Determined
    from kubernetes.client import ApiClient

__all__ = ["RunningStack", "pdk_environment", "pdk_stack"]

IMAGES = "pdk_images"
STATE_OPTION = "--pdk-state-dir"


@dataclass(frozen=True)
class RunningStack:
    """The stack of a test session.

    Attributes:
        addresses: ``kubeconfig``, ``pachd``, ``s3``, ``determined``, ``kubernetes``, and ``ingress``, as
            ``pdk-nb up --json`` prints them.
        environment: Variables that connect the platforms' own clients and programs (secrets among them).
    """

    addresses: Mapping[str, str]
    environment: Mapping[str, str]

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the cluster's administrator."""
        return Path(self.addresses["kubeconfig"])

    @cached_property
    def pachyderm(self) -> python_pachyderm.Client:
        """Client of Pachyderm."""
        import python_pachyderm

        host, _, port = self.addresses["pachd"].rpartition("//")[2].rpartition(":")
        token = _pachyderm_token(Path(self.environment["PACH_CONFIG"]))
        return python_pachyderm.Client(host=host, port=int(port), auth_token=token)

    @cached_property
    def determined(self) -> Determined:
        """Client of Determined."""
        from determined.common.experimental.determined import Determined

        return Determined(
            master=self.addresses["determined"],
            user=self.environment["DET_USER"],
            password=self.environment["DET_PASS"],
        )

    @cached_property
    def kubernetes(self) -> ApiClient:
        """Client of Kubernetes, and so of KServe's InferenceServices."""
        from kubernetes import config

        client: ApiClient = config.new_client_from_config(config_file=str(self.kubeconfig))
        return client


def _pachyderm_token(config: Path) -> str:
    import json

    content = json.loads(config.read_text())["v2"]
    return str(content["contexts"][content["active_context"]]["session_token"])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's option and its setting."""
    parser.getgroup("pdk", "PDK Lab's embedded stack").addoption(
        STATE_OPTION,
        metavar="D",
        help=f"state folder of the stack: one that runs there is used, and left running (default: {STATE_VARIABLE}, "
        "or a new folder)",
    )
    parser.addini(
        IMAGES,
        "folders that replace the images of your pipelines: one NAME = FOLDER a line, relative to the root folder",
        type="linelist",
        default=[],
    )


def images_of(config: pytest.Config) -> dict[str, Path]:
    """The folders that replace images, from the setting ``pdk_images``.

    Raises:
        pytest.UsageError: A line isn't ``NAME = FOLDER``.
    """
    images = {}
    for line in config.getini(IMAGES):
        name, separator, folder = (part.strip() for part in line.partition("="))
        if not separator or not name or not folder:
            raise pytest.UsageError(f"{IMAGES}: '{line}' is not NAME = FOLDER")
        images[name] = config.rootpath / folder
    return images


@pytest.fixture(scope="session")
def pdk_stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The embedded stack, started at first use and stopped at the end of the session.

    With ``--pdk-state-dir`` or ``PDK_STATE_DIR``, it's the stack of that folder; one that ran before keeps running.
    With pytest-xdist, each process starts its own.
    """
    from pdk_stack import stack

    named = request.config.getoption(STATE_OPTION) or os.environ.get(STATE_VARIABLE, "")
    state = named or str(tmp_path_factory.mktemp("pdk-stack"))
    images = images_of(request.config)
    try:
        running, _ = stack.status(state)
        # A stack that runs already was given its images by whoever started it.
        addresses, started = stack.up(state, images={} if running else images)
    except PdkError as error:
        pytest.fail(f"The embedded stack didn't start. {error}", pytrace=False)
    try:
        yield RunningStack(addresses, stack.environment(state))
    finally:
        if started:
            stack.down(state)


@pytest.fixture
def pdk_environment(pdk_stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> RunningStack:
    """The stack, with this process's environment set for it: clients and programs find it without arguments."""
    for name, value in pdk_stack.environment.items():
        monkeypatch.setenv(name, value)
    return pdk_stack
