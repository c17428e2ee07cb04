"""All gather among the processes of a trial, without a socket."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from pdk_stack.determined.core.trials.gather import AllGather


def test_each_peer_gets_all_pieces_in_every_round() -> None:
    gather, peers = AllGather(), ("a", "b", "c")

    def rounds(peer: str) -> list[list[str] | None]:
        return [gather.take_part("1.x.1", peer, len(peers), f"{peer}{number}", lambda: False) for number in range(5)]

    with ThreadPoolExecutor(len(peers)) as pool:
        results = list(pool.map(rounds, peers))
    for result in results:
        for number, pieces in enumerate(result):
            assert pieces is not None and sorted(pieces) == [f"{peer}{number}" for peer in peers]


def test_a_round_that_is_given_up_has_no_result() -> None:
    left = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(AllGather().take_part, "1.x.1", "a", 2, None, left.is_set)
        left.set()
        assert waiting.result(10) is None
