"""``pdk-nb ui``: the console's pages, in both color schemes and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pdk_nb import lab as pdk
from pdk_nb.platforms import mldm
from tests.browser.axe import violations
from tests.browser.conftest import Served

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.jupyter import JupyterServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def console(stack: dict[str, str], walked: Callable[[str], Any]) -> Iterator[str]:
    """Its address, once the notebooks have deployed a model."""
    walked("04")
    started = Served("ui", stack["kubeconfig"])
    yield started.url
    started.stop()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_its_pages(
    console: str, page: Page, shot: Callable[[Any, str], None], scheme: str, width: int
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(console)
    names = page.get_by_role("navigation", name="Pages").get_by_role("link").all_inner_texts()
    assert {"Flow", "Journey"} <= set(names)
    for name in names:
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()
        page.get_by_role("heading", level=1).wait_for()
        shot(page, f"console-{name.lower()}-{scheme}-{width}")
        assert not violations(page), name
        # Only pictures and tables scroll sideways, not the page.
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1600, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages_behind_them(
    console: str, page: Page, shot: Callable[[Any, str], None], scheme: str, width: int
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(console)
    base = console.partition("/?")[0]
    here = page.get_by_role("main").get_by_role("link")
    behind = {str(each.get_attribute("href")) for each in here.all()}
    # What the stations lead to, and one step further: a folder, changes, and a question to the service.
    commit = next(each for each in behind if each.startswith("/data/"))
    service = next(each for each in behind if each.startswith("/services/"))
    behind |= {f"{commit}?path=data1", commit.replace("/data/", "/changes/"), service.replace("/services/", "/ask/")}
    assert len(behind) >= 8, behind
    for number, address in enumerate(sorted(behind)):
        page.goto(base + address)
        page.get_by_role("heading", level=1).wait_for()
        kind = re.split("[/?]", address)[1]
        shot(page, f"console-{number}{kind}-{scheme}-{width}")
        assert not violations(page), address
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_service_shows_how_it_is_used(
    console: str, stack: dict[str, str], page: Page, shot: Callable[[Any, str], None], scheme: str
) -> None:
    lab = pdk.connect(stack["kubeconfig"])
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(console)
    page.get_by_role("link", name=re.compile("^service ")).click()
    page.get_by_role("heading", name="Requests and latency").wait_for()
    for _ in range(8):
        lab.ask(lab.samples()[:2])
        page.wait_for_timeout(1500)
    # The page counts by itself.
    page.get_by_role("row", name=re.compile(r"^last \d+ s \d+ [\d.]+ \d+ ms \d+ ms none")).wait_for()
    page.get_by_role("img", name=re.compile("Requests a second.*Latency", re.S)).wait_for()
    assert not violations(page)
    shot(page, f"console-usage-{scheme}")


def test_jupyterlabs_launcher_opens_it_in_a_tab(
    server: JupyterServer, console: str, page: Page, shot: Callable[[Any, str], None]
) -> None:
    pytest.importorskip("jupyter_server_proxy", reason="make setup")
    page.goto(f"{server.url}/lab?reset&token={server.token}")
    card = page.locator(".jp-LauncherCard", has_text="PDK console")
    card.wait_for()
    shot(page, "console-launcher")
    card.click()
    inside = page.frame_locator("iframe")
    inside.get_by_role("heading", level=1, name="Flow").wait_for(timeout=90_000)
    inside.get_by_role("link", name=re.compile("^service ")).click()
    inside.get_by_role("heading", name="Requests and latency").wait_for()
    # Its events come through Jupyter, too.
    inside.get_by_role("row", name=re.compile(r"^last \d+ s")).wait_for()
    shot(page, "console-in-jupyterlab")


# What each pipeline of a project reads; "compare" also reads the lab's own repo.
ATLAS = {
    "clean": ["photos"],
    "check-labels": ["labels"],
    "resize": ["clean"],
    "faces": ["clean"],
    "split": ["resize", "check-labels"],
    "stats": ["check-labels"],
    "train-small": ["split"],
    "train-large": ["split"],
    "compare": ["train-small", "train-large"],
    "report": ["compare", "stats"],
    "thumbnails": ["resize"],
    "index": ["thumbnails", "faces"],
    "broken-export": ["report"],
    "atlas": ["index", "report"],
}


@pytest.fixture(scope="module")
def atlas(stack: dict[str, str], console: str) -> Iterator[tuple[pdk.Lab, str]]:
    """A project of fourteen pipelines, without a commit."""
    lab, project = pdk.connect(stack["kubeconfig"]), "pets-atlas"
    mldm.ensure_project(lab.pachyderm, project)
    for repo in ("photos", "labels"):
        mldm.ensure_repo(lab.pachyderm, project, repo)
    for name, inputs in ATLAS.items():
        given = [(project, each) for each in inputs]
        if name == "compare":
            given.append((lab.names.project, lab.names.data_repo))
        read = [
            {"pfs": {"project": where, "repo": repo, "glob": "/", "name": f"in{number}"}}
            for number, (where, repo) in enumerate(given)
        ]
        code = "exit 1" if name == "broken-export" else f"echo x > /pfs/out/{name}"
        mldm.ensure_pipeline(
            lab.pachyderm,
            {
                "pipeline": {"name": name, "project": {"name": project}},
                "input": read[0] if len(read) == 1 else {"cross": read},
                "transform": {"cmd": ["sh", "-c", code], "image": "python:3.11-slim"},
                "autoscaling": True,
                "datum_tries": 1,
            },
        )
    yield lab, project
    for name in reversed(ATLAS):
        lab.pachyderm.delete_pipeline(name, project_name=project, force=True)
    for repo in ("photos", "labels"):
        lab.pachyderm.delete_repo(repo, project_name=project, force=True)
    lab.pachyderm.delete_project(project)


def test_pipelines_are_drawn_and_change_by_themselves(
    atlas: tuple[pdk.Lab, str], console: str, page: Page, shot: Callable[[Any, str], None]
) -> None:
    lab, project = atlas
    page.set_viewport_size({"width": 1280, "height": 640})
    page.goto(console)
    page.goto(f"{console.partition('/?')[0]}/pipelines?project={project}")
    graph = page.get_by_role("region", name="Graph of the pipelines")
    assert graph.get_by_role("link").count() == len(ATLAS) + 3
    assert graph.get_by_role("link", name=f"repo in {lab.names.project} {lab.names.data_repo}").count() == 1
    for repo in ("photos", "labels"):
        with lab.pachyderm.commit(repo, "master", project_name=project) as commit:
            lab.pachyderm.put_file_bytes(commit, "/a.txt", b"a")
    graph.get_by_role("link", name="pipeline atlas: job success").wait_for(timeout=120_000)
    graph.get_by_role("link", name="pipeline broken-export: job failure").wait_for(timeout=60_000)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for width in (390, 1920, 1280):
            page.set_viewport_size({"width": width, "height": 640})
            shot(page, f"console-atlas-{scheme}-{width}")
            assert not violations(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            # Letters stay readable: the drawing scrolls instead of shrinking.
            box = graph.get_by_role("link", name="pipeline atlas").locator("rect").bounding_box()
            assert box is not None and box["width"] >= 0.79 * 152
    graph.get_by_role("link", name="pipeline broken-export").click()
    page.get_by_role("heading", level=1, name="Jobs").wait_for()
    assert page.get_by_role("row", name=re.compile("broken-export .*FAILURE")).count() >= 1
