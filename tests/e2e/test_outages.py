"""A platform that dies and comes back doesn't end what waits for it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from python_pachyderm.service import pps_proto

from pdk_nb.platforms import mldm
from tests.stack.pachyderm.server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
OUTAGE_S = 3.0


def test_a_job_is_waited_for_through_an_outage_of_pachyderm(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    try:
        client = server.client()
        client.create_repo("data")
        client.create_pipeline(
            "slow",
            transform=pps_proto.Transform(image="ubuntu", cmd=["sh"], stdin=["sleep 5", "echo done > /pfs/out/x"]),
            input=pps_proto.Input(pfs=pps_proto.PFSInput(repo="data", glob="/")),
        )
        client.put_file_bytes(("data", "master"), "/x", b"1")
        commit = next(client.inspect_commit(("data", "master"))).commit.id
        seen: list[float] = []

        def outage() -> None:
            while not seen:
                time.sleep(0.05)
            server.kill()
            time.sleep(OUTAGE_S)
            server.start()

        outages = threading.Thread(target=outage)
        outages.start()
        job = mldm.wait_job(
            client, "default", "slow", commit, timeout=120, progress=lambda _: seen.append(time.monotonic())
        )
        outages.join()
        assert job.state == "SUCCESS"
        # The wait did meet the outage: for its length, no look had an answer.
        assert max(later - earlier for earlier, later in zip(seen, seen[1:], strict=False)) >= OUTAGE_S
    finally:
        server.kill()
