"""The whole workshop in the console alone: drop pictures, watch them become a service, ask it, canary, promote."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pdk_nb import lab as pdk
from tests.browser.conftest import Served

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
# Seconds for a training and a roll-out on a slow machine.
PATIENCE = 300.0


@pytest.fixture(scope="module")
def lab(stack: dict[str, str]) -> Iterator[pdk.Lab]:
    """A participant with pipelines, and nothing in the data repo."""
    found = pdk.connect(stack["kubeconfig"], participant="console")
    found.create_projects()
    found.create_pipelines(small=True)
    yield found
    found.clean_up(found.clean_up_plan())


@pytest.fixture(scope="module")
def console(lab: pdk.Lab, stack: dict[str, str]) -> Iterator[str]:
    started = Served("ui", stack["kubeconfig"], "--participant", "console", "--allow-changes")
    yield started.url
    started.stop()


def pictures(lab: pdk.Lab, arrival: str) -> list[Path]:
    """Files of the lab's drawn pets, as a person has them in a folder."""
    return [photo.path for photo in lab.open_photos("", arrival, small=True).photos.photos]


def follow(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).first.click()
    # With the page's own script, which people are never faster than.
    page.wait_for_load_state("domcontentloaded")
    page.get_by_role("heading", level=1).wait_for()


def drop(page: Page, lab: pdk.Lab, files: list[Path]) -> str:
    """Drop files on the data repo, confirm the commit, and return its id."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Data").click()
    follow(page, lab.names.data_repo)
    follow(page, "Commit files")
    page.get_by_label("Drop files here").set_input_files(files)
    page.get_by_role("button", name="Commit").wait_for()
    assert f"pachctl put file -r {lab.names.data_repo}@master:/data" in page.get_by_label("Command").inner_text()
    page.get_by_role("button", name="Commit").click()
    said = page.get_by_role("status").inner_text()
    return str(re.search(r"[0-9a-f]{32}", said)[0])  # type: ignore[index]


def watch(page: Page, id: str, shot: Callable[[Any, str], None], name: str) -> None:
    """Watch Flow until the service answers with a commit's model; the page changes by itself."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Flow").click()
    page.get_by_role("link", name=re.compile("^train pipeline .*job (running|starting|succeeded)")).wait_for(
        timeout=60_000
    )
    shot(page, f"workshop-{name}-running")
    page.get_by_role("link", name=re.compile(f"^service .*ready, {id[:8]}")).wait_for(timeout=PATIENCE * 1000)
    shot(page, f"workshop-{name}-ready")


def confirm(page: Page, button: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()
    page.get_by_role("status").wait_for()
    follow(page, "See what becomes of it")


def test_from_pictures_to_a_promoted_version(
    lab: pdk.Lab, console: str, page: Page, shot: Callable[[Any, str], None]
) -> None:
    page.goto(console)
    assert page.get_by_role("link", name="service console-dog-cat: not yet").count() == 1
    files = pictures(lab, "data1")
    first = drop(page, lab, files)
    watch(page, first, shot, "first")

    page.get_by_role("link", name=re.compile("^experiment experiment")).click()
    page.get_by_role("img", name=re.compile("Training loss.*Validation accuracy", re.S)).wait_for()
    page.get_by_text("learning from").wait_for()

    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Services").click()
    follow(page, lab.names.service)
    follow(page, "Ask about a picture")
    page.get_by_label("Drop a picture here").set_input_files(files[0])
    said = page.get_by_role("main").get_by_role("status")
    page.wait_for_function(
        "each => each.textContent && !each.textContent.startsWith('Asking')", arg=said.element_handle()
    )
    assert first in said.inner_text()
    answer = said.get_by_role("link")
    shot(page, "workshop-answer")
    answer.click()
    page.get_by_role("heading", level=1, name="Journey").wait_for()
    assert first in page.get_by_role("main").inner_text()
    page.get_by_role("img", name=re.compile("commit")).wait_for()

    second = drop(page, lab, pictures(lab, "data2"))
    watch(page, second, shot, "second")
    page.get_by_role("link", name=re.compile("^service ")).click()
    traffic = page.get_by_role("table", name="Traffic").get_by_role("row")
    page.get_by_role("link", name="Give it a share").click()
    page.get_by_label("Share of the requests").fill("30")
    shot(page, "workshop-confirm")
    confirm(page, "Give a share")
    page.get_by_role("row", name=re.compile("70 % [0-9a-f]{32}")).wait_for(timeout=PATIENCE * 1000)
    assert traffic.count() == 3
    shot(page, "workshop-canary")
    page.get_by_role("link", name="Promote the latest").click()
    confirm(page, "Promote")
    page.get_by_role("row", name=re.compile(f"100 % {first}")).wait_for(timeout=PATIENCE * 1000)
    assert lab.ask(files[:1])[0][1].version == first
