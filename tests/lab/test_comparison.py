"""Another version beside the one in service: the embedded Kubernetes and real model servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdk_nb import version_comparison
from pdk_nb.names import Names
from pdk_nb.panel import PredictionPanel
from pdk_nb.platforms import serving
from pdk_nb.session import Session
from pdk_nb.settings import Settings
from pdk_nb.version_comparison import PREVIOUS
from pdk_shared.errors import DeploymentError
from tests.lab.test_serving import cluster, deployment  # noqa: F401 (a fixture of this file too)
from tests.support.serving_tools import BLUE, RED, model_folder


def test_there_is_nothing_to_compare_with(cluster: Settings) -> None:  # noqa: F811
    session = Session(cluster, Names(service="alone"))
    with pytest.raises(DeploymentError, match="no such InferenceService"):
        version_comparison.candidates(session)
    serving.apply(cluster, deployment(name="alone"))
    assert version_comparison.candidates(session) == []
    panel = PredictionPanel(session)
    panel.versions.look.click()
    assert "only one version" in panel.status.value
    with pytest.raises(DeploymentError, match="isn't available for a comparison"):
        panel.compare("v1")
    assert not version_comparison.stop(session)
    serving.delete(cluster, "alone")


@pytest.mark.slow
def test_two_versions_side_by_side(cluster: Settings, tmp_path: Path) -> None:  # noqa: F811
    """The second model calls everything the other way round, so that its answers tell which one was asked."""
    session = Session(cluster, Names(service="pets"))
    for version, sign in (("v1", 1.0), ("v2", -1.0)):
        folder = model_folder(tmp_path / "dogs-and-cats" / version, version, sign=sign)
        done = serving.apply(cluster, deployment(version, f"{folder.as_uri()}/", "pets"))
    # The first version need not have answered to be one that can be compared with.
    serving.wait_ready(cluster, "pets", 120, version="v2", after=done.previous_revision)
    red, blue = tmp_path / "cat.1.png", tmp_path / "dog.1.png"
    red.write_bytes(RED)
    blue.write_bytes(BLUE)
    panel = PredictionPanel(session)
    panel.submit(red)
    assert panel.pictures[0].right is False
    panel.compare("v1")
    assert panel.view is not None
    assert panel.view.text == "The two versions disagree."
    assert "dogs-and-cats version 2" in panel.compared.value
    assert "dogs-and-cats version 1" in panel.compared.value
    # Nobody who uses the service has noticed.
    assert serving.service_status(cluster, "pets").version == "v2"
    assert [each.percent for each in serving.traffic(cluster, "pets")] == [100]
    panel.submit(red, blue)
    assert panel.view.text == "The two versions disagree on 2 of 2 pictures."
    candidate = version_comparison.candidates(session)[0]
    assert candidate.version == "v1"
    assert candidate.endpoint is not None
    panel.end_comparison()
    assert panel.compared.value == ""
    assert not version_comparison.exists(session)

    # While the traffic is split, the previous revision is asked at its own address.
    done = serving.canary(cluster, "pets", "v1", 10)
    serving.wait_ready(cluster, "pets", 120, version="v1", after=done.previous_revision)
    previous = version_comparison.candidates(session)[0]
    assert (previous.version, previous.percent) == (PREVIOUS, 90)
    assert previous.endpoint is not None
    assert {serving.predict(previous.endpoint, images=[RED])[0].version for _ in range(8)} == {"v2"}
    serving.delete(cluster, "pets")
