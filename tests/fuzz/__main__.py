"""``python -m tests.fuzz``: send odd requests to the embedded services, and print what they don't answer properly.

Targets that end in ``-openapi`` get what schemathesis makes of the API's OpenAPI documents; the others get good
objects with a few values of wrong types.

A run is bounded, and its requests come from a seed; ``--count`` is their number for each service. It ends with 1 at any
5xx but 501, at Python's own words in an answer, at a traceback in a log, or when a service's descriptors, threads or
memory grow in the second half of a run.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.fuzz import by_openapi, determined, kubernetes, s3
from tests.fuzz.asking import Asker, Case
from tests.support import grpc_mutations
from tests.support.processes import ServiceProcess
from tests.support.vitals import Vitals, vitals

COUNT, SEED = 2000, 1
#: What may come in the second half of a run: what is found for the first time, and what the allocator keeps.
ALLOWED = Vitals(descriptors=8, threads=8, megabytes=48.0)

Opened = Callable[[Path], AbstractContextManager[tuple[Asker, list[ServiceProcess]]]]
HTTP: dict[str, tuple[Opened, Callable[[int, Asker], Iterator[Case]]]] = {
    "determined": (determined.opened, lambda number, _: determined.cases(random.Random(number))),
    "determined-openapi": (
        determined.opened,
        lambda number, _: map(determined.tamed, by_openapi.cases([determined.document()], number)),
    ),
    "kubernetes": (
        kubernetes.opened,
        lambda number, asker: kubernetes.cases(random.Random(number), asker.kinds),
    ),
    "kubernetes-openapi": (
        kubernetes.opened,
        lambda number, asker: map(kubernetes.tamed, by_openapi.cases(asker.documents, number)),
    ),
    "s3": (s3.opened, lambda number, _: s3.cases(random.Random(number))),
}
TARGETS = (*HTTP, "grpc")


def run(name: str, count: int, seed: int, folder: Path) -> list[str]:
    """Fuzz one service, print its findings, and return what is wrong with it.

    Args:
        name: One of :data:`TARGETS`.
        count: The number of requests.
        seed: What the requests come from.
        folder: Folder for the service's state and log.
    """
    if name == "grpc":
        return grpc_mutations.run(folder, count, seed)
    opened, cases = HTTP[name]
    wrong: list[str] = []
    with opened(folder) as (asker, services):
        made = cases(seed, asker)
        before: dict[str, Vitals] = {}
        for number in range(count):
            if number == count // 2:
                before = {service.name: vitals(service.pid) for service in services}
            asker.ask(next(made))
            dead = [service for service in services if not service.alive]
            if dead:
                wrong.append(f"{dead[0].name} has died")
                break
        for service in services:
            if not wrong and count >= COUNT:
                grown = vitals(service.pid) - before[service.name]
                wrong += [f"{service.name}: {words} more in the second half" for words in grown.above(ALLOWED)]
        statuses = ", ".join(f"{number} x {status or 'none'}" for status, number in sorted(asker.statuses.items()))
        print(f"\n{name}: {asker.asked} requests, seed {seed}: {statuses}")
        for finding in sorted(asker.findings.values(), key=lambda each: -each.times):
            print(f"  {finding.times} x {finding.kind}\n      {finding.case}")
        for each in wrong:
            print(f"  {each}")
        return [*wrong, *asker.findings]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("services", nargs="*", metavar="SERVICE", help=", ".join(TARGETS))
    parser.add_argument("--count", type=int, default=COUNT, help="requests to each service (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="what the requests come from (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for state and logs; a temporary one by default")
    options = parser.parse_args(argv)
    wrong = 0
    for name in options.services or TARGETS:
        if name not in TARGETS:
            parser.error(f"no service {name!r}; there are: {', '.join(TARGETS)}")
        with tempfile.TemporaryDirectory(prefix="pdk-fuzz-") as scratch:
            folder = (options.out or Path(scratch)) / name
            folder.mkdir(parents=True, exist_ok=True)
            wrong += len(run(name, options.count, options.seed, folder))
    print(f"\n{wrong} kinds of wrong answers" if wrong else "\nnothing wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
