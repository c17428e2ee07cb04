"""The doctor's judgements alone: versions and times as servers write them."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from pdk_nb.doctor import clock, versions


@pytest.mark.parametrize(
    ("server", "state"), [("2.4.6", "broken"), ("2.5.0", "ok"), ("2.11.1", "ok"), ("3.0.0", "broken"), ("", "unknown")]
)
def test_servers_of_other_releases(server: str, state: str) -> None:
    found = versions.judge_minimum("pachyderm", "7.6.0", server, versions.MIN_PACHYDERM)
    assert found.state == state


@pytest.mark.parametrize(("server", "state"), [("v1.18.20", "broken"), ("v1.19.0", "ok"), ("v1.33.1-gke.7", "ok")])
def test_kubernetes_of_other_releases(server: str, state: str) -> None:
    assert versions.judge_minimum("kubernetes", "36.0.3", server, versions.MIN_KUBERNETES).state == state


def test_times() -> None:
    assert clock.judge("x", "no date at all", 0.0).state == "unknown"
    assert clock.judge("x", formatdate(1000.0, usegmt=True), 1000.9).state == "ok"
    assert clock.judge("x", formatdate(1000.0, usegmt=True), 1061.0).state == "warning"
    assert clock.judge("x", formatdate(2000.0, usegmt=True), 1000.0).state == "broken"
