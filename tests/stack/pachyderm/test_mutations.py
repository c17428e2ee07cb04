"""Messages that no client writes: every call answers them with a code that says so, and the daemon stays as it was."""

from __future__ import annotations

import random
from pathlib import Path

import grpc
import pytest

from tests.stack.pachyderm.server import Server
from tests.support.grpc_mutations import Case, ask, cases, methods, run, wrong

COUNT, SEED = 1500, 11


def test_mutated_calls_end_with_a_code_and_words_for_people(tmp_path: Path) -> None:
    assert run(tmp_path, COUNT, SEED) == []


def test_every_implemented_call_is_asked() -> None:

    found = methods()
    made = cases(random.Random(SEED))
    asked = {next(made).method.path for _ in range(len(found))}
    assert asked == {each.path for each in found}
    assert {"/pfs_v2.API/ModifyFile", "/pps_v2.API/CreatePipelineV2", "/pps_v2.API/CreatePipeline"} <= asked


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/pfs_v2.API/ListRepo", b"\x0a\xff"),  # a text longer than the message
        ("/pfs_v2.API/InspectRepo", b"\x0a\x03\x0a\x01\xff"),  # no UTF-8
        ("/pfs_v2.API/InspectRepo", b"\x0a\x05\x0a\x03\xed\xa0\x80"),  # a surrogate
        ("/pfs_v2.API/ModifyFile", b"\x00"),  # field 0
        ("/pps_v2.API/CreatePipelineV2", b"\x0b"),  # a group that doesn't end
        ("/pfs_v2.API/SquashCommit", b"\x0f\x0f"),  # a wire type that doesn't exist
    ],
)
def test_what_cannot_be_decoded_is_an_invalid_argument(server: Server, path: str, message: bytes) -> None:
    method = next(each for each in methods() if each.path == path)
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        assert ask(channel, Case(method, (message,))) == ("INVALID_ARGUMENT", "the message is not valid protobuf")


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        ("UNKNOWN", "ValueError: maxlen must be non-negative", True),
        ("INTERNAL", "Exception deserializing request!", True),
        ("INTERNAL", "/pfs_v2.API/ListRepo failed in the embedded Pachyderm; its log says why", True),
        ("UNKNOWN", "'NoneType' object has no attribute 'id'", True),
        ("UNKNOWN", "repo cannot be nil", False),
        ("INTERNAL", "create branch: cycle detected because b is already in the subvenance of a", False),
    ],
)
def test_what_counts_as_wrong(code: str, words: str, expected: bool) -> None:
    assert wrong(code, words) == expected
