"""Progress that is updated in place and ends as one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from pdk_nb.display import progress


class Handle:
    def __init__(self, shown: list[Any]) -> None:
        self.shown = shown

    def update(self, thing: Any) -> None:
        self.shown[-1] = thing


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a notebook would show: one entry for each place."""
    places: list[Any] = []

    def display(thing: Any, display_id: bool = False) -> Handle:
        assert display_id
        places.append(thing)
        return Handle(places)

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "REDRAW_S", -1.0)
    return places


def test_progress_is_one_place_that_ends_as_a_sentence(shown: list[Any]) -> None:
    with progress.Progress("Sending pictures", 4, "pictures") as bar:
        bar.step(1)
        assert "Sending pictures: 1 of 4 pictures" in str(shown[0])
        assert 'aria-valuenow="25"' in shown[0]._repr_html_()
        bar.step(4)
    assert len(shown) == 1
    assert "[ok] Sending pictures: done" in str(shown[0])
    assert "progressbar" not in shown[0]._repr_html_()


def test_an_error_leaves_the_last_state_marked_as_stopped(shown: list[Any]) -> None:
    with pytest.raises(ValueError, match="cable"), progress.Progress("Sending", 4, "pictures") as bar:
        bar.step(3)
        raise ValueError("cable")
    assert "[wrong] Sending: stopped" in str(shown[0])
    assert "3 of 4 pictures" in str(shown[0])


def test_a_wait_without_an_end_in_sight_shows_no_percentage(shown: list[Any]) -> None:
    bar = progress.Progress("Waiting for the job")
    bar.say("the job is starting")
    assert "aria-valuenow" not in shown[0]._repr_html_()
    assert "the job is starting" in str(shown[0])
    bar.end("The job succeeded.")
    assert str(shown[0]) == "[ok] The job succeeded."


def test_the_same_thing_is_not_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    class Counting(Handle):
        def update(self, thing: Any) -> None:
            sent.append(thing)

    def display(thing: Any, display_id: bool = False) -> Handle:
        sent.append(thing)
        return Counting([])

    monkeypatch.setattr("IPython.display.display", display)
    area = progress.OutputArea()
    for lines in (["a"], ["a"], ["a", "b"]):
        area.show(progress.LogLines("log", lines))
    assert [each.lines for each in sent] == [["a"], ["a", "b"]]


def test_outside_a_notebook_one_line_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Progress("Sending", 2, "pictures") as bar:
        bar.step(1)
        bar.step(2)
        bar.end("Sent 2 pictures.")
    assert capsys.readouterr().out == "[ok] Sent 2 pictures.\n"


def test_lines_are_escaped() -> None:
    assert "&lt;b&gt;" in progress.LogLines("log", ["<b>"])._repr_html_()
