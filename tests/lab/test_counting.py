"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from pdk_nb.counting import counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 pictures"), (1, "1 picture"), (2, "2 pictures")])
def test_one_is_singular(number: int, said: str) -> None:
    assert counted(number, "picture") == said
