"""The page that says which calls are done, and that the others are refused by name."""

from __future__ import annotations

from pathlib import Path

import grpc

from pdk_stack.pachyderm.coverage import DONE, OFF, PARTLY, REFUSED, calls, page
from tests.stack.pachyderm.server import REPO, Server


def test_the_page_is_current() -> None:
    written = Path(REPO, "docs", "coverage-pachyderm.md").read_text()
    assert written == page(), "run: python -m pdk_stack.pachyderm.coverage > docs/coverage-pachyderm.md"


def test_every_refused_call_says_its_name(server: Server) -> None:
    states = {state for _, _, state, _ in calls()}
    assert states == {DONE, PARTLY, OFF, REFUSED}
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        wanted = [(service, name) for service, name, state, _ in calls() if state == REFUSED]
        for service, name in [*wanted, ("pfs_v2.API", "CallOfTomorrow"), ("other.Service", "Call")]:
            path = f"/{service}/{name}"
            call = channel.unary_unary(path, lambda data: data, lambda data: data)
            try:
                call(b"", timeout=10)
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.UNIMPLEMENTED, path
                words = error.details()
                assert service in words and (name in words or words.startswith("unknown service ")), path
            else:
                raise AssertionError(f"{path} was not refused")
