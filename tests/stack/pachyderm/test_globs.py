"""The whole glob language against a slow and simple matcher that follows its definition word by word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from pdk_stack.pachyderm.core.pfs.globs import compile_glob

Ends = Callable[[str, int], set[int]]


@dataclass(frozen=True)
class Piece:
    """A part of a pattern: how it is written, and where in a text it can end when it begins at a place."""

    text: str
    ends: Ends


def sequence(pieces: tuple[Piece, ...]) -> Piece:
    def ends(text: str, start: int) -> set[int]:
        places = {start}
        for piece in pieces:
            places = {end for place in places for end in piece.ends(text, place)}
        return places

    return Piece("".join(piece.text for piece in pieces), ends)


def one(character: str) -> Piece:
    return Piece(character, lambda text, at: {at + 1} if text[at : at + 1] == character else set())


def star(text: str, at: int) -> set[int]:
    found = {at}
    while at < len(text) and text[at] != "/":
        at += 1
        found.add(at)
    return found


def in_set(members: str, negated: bool) -> Piece:
    def ends(text: str, at: int) -> set[int]:
        # As in the server's library, an excluding set also matches a slash.
        inside = at < len(text) and (text[at] in members) != negated
        return {at + 1} if inside else set()

    return Piece(f"[{'!' if negated else ''}{members}]", ends)


def group(kind: str, choices: tuple[Piece, ...]) -> Piece:
    def once(text: str, at: int) -> set[int]:
        return {end for choice in choices for end in choice.ends(text, at)}

    def ends(text: str, at: int) -> set[int]:
        found = once(text, at)
        if kind in "*+":
            pending = set(found)
            while pending:
                fresh = once(text, pending.pop()) - found
                found |= fresh
                pending |= fresh
        return found | {at} if kind in "*?" else found

    inner = [choice.text for choice in choices]
    return Piece("{" + ",".join(inner) + "}" if kind == "{" else f"{kind}({'|'.join(inner)})", ends)


SIMPLE = st.one_of(
    st.sampled_from("ab-").map(one),
    st.just(Piece("*", star)),
    st.just(Piece("?", lambda text, at: {at + 1} if at < len(text) and text[at] != "/" else set())),
    st.builds(in_set, st.sampled_from(["a", "ab", "a-b"]).map(lambda text: text.replace("a-b", "ab")), st.booleans()),
)
# Stars side by side would be a double star, and an extended form behind one would read as another form.
WORDS = st.lists(SIMPLE, min_size=1, max_size=3).map(tuple).filter(lambda pieces: "**" not in sequence(pieces).text)
GROUPS = st.builds(
    group, st.sampled_from(["{", "@", "*", "+", "?"]), st.lists(WORDS.map(sequence), min_size=1, max_size=3).map(tuple)
)
PART = st.one_of(
    WORDS,
    st.tuples(st.sampled_from("ab-").map(one), GROUPS),
    st.tuples(GROUPS, st.sampled_from("ab-").map(one)),
    st.just((Piece("**", lambda text, at: set(range(at, len(text) + 1))),)),
).map(sequence)
PATHS = st.lists(st.text("ab-", min_size=1, max_size=4), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)


@settings(deadline=None)
@given(parts=st.lists(PART, min_size=1, max_size=3), paths=st.lists(PATHS, min_size=1, max_size=6))
def test_patterns_match_what_their_definition_says(parts: list[Piece], paths: list[str]) -> None:
    pieces = tuple(piece for part in parts for piece in (one("/"), part))
    pattern = sequence(pieces)
    glob = compile_glob(pattern.text)
    for path in paths:
        expected = len(path) in pattern.ends(path, 0)
        assert (glob.match(path) is not None) == expected, (pattern.text, path)
