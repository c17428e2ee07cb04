"""Tables and notes as text and as HTML."""

from __future__ import annotations

from pdk_nb.display.tables import Note, Table


def test_a_table_lines_up_as_text() -> None:
    table = Table(("Name", "State"), [("dog-cat", True), ("x", None), ("y", 0.12345)], caption="services")
    assert str(table).splitlines() == ["services", "NAME     STATE", "dog-cat  True", "x", "y        0.123"]


def test_html_is_escaped_and_states_have_words_and_colours() -> None:
    page = Table(("Name", "State"), [("<script>", "ok")])._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert ">ok</b>" in page
    assert 'scope="col"' in page


def test_a_note_says_what_to_do() -> None:
    note = Note("not yet", "There is no service.", "Run notebook 04.")
    assert str(note).splitlines() == ["[not yet] There is no service.", "         what to do: Run notebook 04."]
    assert "Run notebook 04." in note._repr_html_()


def test_state_colours_follow_the_pages_own_text_colour() -> None:
    page = Note("ok", "Fine.")._repr_html_()
    assert "currentColor" in page
    assert "#00795c" in page
