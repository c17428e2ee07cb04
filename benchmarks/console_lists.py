"""How long the console's pages of long lists take: ten thousand experiments, and a commit of a hundred thousand files.

    python -m benchmarks.console_lists [--experiments 10000] [--files 100000] [--json result.json]

Starts an embedded stack, fills it, and measures pages of long lists against the same pages of short ones in the same
run. The files go through Pachyderm's API: small ones, in two folders of one commit. Fifty experiments go through
Determined's API, paused, so that they start no process; the others are canceled copies of these in the stopped master's
database, because the API takes up to 0.2 s for each.

The target: a page of a long list takes at most three times as long as one of a short list. The differences of a commit,
which have to look at every file, are shown without a target.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import httpx
from determined.common.api import bindings

from benchmarks.running import console, stack
from pdk_nb import lab as pdk
from pdk_nb.platforms import mldm
from pdk_nb.platforms.mlde._connection import session

LONGER = 3.0
ROUNDS = 30
# Short lists fill one page of the console, so that both pages show as much.
SHORT, SHORT_FILES = 50, 200
PROJECT = "long-lists"
CONFIG = """
name: filler
entrypoint: "true"
searcher: {name: single, metric: accuracy, smaller_is_better: false, max_length: {batches: 1}}
hyperparameters: {lr: 0.1}
resources: {slots_per_trial: 0}
"""
ENDED = "'$.state', 'CANCELED', '$.endTime', json_extract(body, '$.startTime')"
# Of the master's documents: an experiment, and its trial.
COPIES = (
    f"insert into documents select kind, :new, parent, json_set(body, '$.id', :new, {ENDED}) from documents"
    " where kind = 'experiment' and id = :old",
    f"insert into documents select kind, :trial, :new, json_set(body, '$.id', :trial, '$.experimentId', :new, {ENDED})"
    " from documents where kind = 'trial' and parent = :old",
)


def add_experiments(lab: pdk.Lab, count: int) -> None:
    """Paused experiments."""
    client = session(lab.determined)
    for _ in range(count):
        request = bindings.v1CreateExperimentRequest(activate=False, config=CONFIG, modelDefinition=[], projectId=1)
        bindings.post_CreateExperiment(client, body=request)


def copy_experiments(state: Path, count: int) -> None:
    """Copies of the experiments of a stopped master, until there are so many."""
    with contextlib.closing(sqlite3.connect(state / "determined" / "master.sqlite")) as database, database:
        known = [row[0] for row in database.execute("select id from documents where kind = 'experiment' order by id")]
        last = dict(database.execute("select kind, last from sequences where kind in ('experiment', 'trial')"))
        for number in range(1, count - len(known) + 1):
            names = {"old": known[number % len(known)], "new": last["experiment"] + number}
            for copy in COPIES:
                database.execute(copy, {**names, "trial": last["trial"] + number})
        for kind, before in last.items():
            added = max(0, count - len(known))
            database.execute("update sequences set last = ? where kind = ?", (before + added, kind))


def add_files(lab: pdk.Lab, count: int) -> str:
    """A repo with a commit of so many small files in two folders; the commit's id."""
    client, repo = lab.pachyderm, f"files-{count}"
    mldm.ensure_project(client, PROJECT)
    mldm.ensure_repo(client, PROJECT, repo)
    with client.commit(repo, "master", project_name=PROJECT) as opened, client.modify_file_client(opened) as sending:
        for number in range(count):
            sending.put_file_from_bytes(f"/{'cat' if number % 2 else 'dog'}/{number:07d}.txt", b"%d" % number)
    return str(opened.id)


def paint(client: httpx.Client, *paths: str) -> list[float]:
    """Seconds for pages, each the shortest of many rounds: what else the machine does only adds to them."""
    found = [float("inf") for _ in paths]
    for _ in range(ROUNDS):
        # In turns, so that all of them meet the same disturbances.
        for number, path in enumerate(paths):
            began = time.perf_counter()
            reply = client.get(path)
            found[number] = min(found[number], time.perf_counter() - began)
            assert reply.status_code == 200, reply.text
    return found


def place(count: int, commit: str) -> str:
    """The page of a commit of so many files."""
    return f"/data/{PROJECT}/files-{count}/{commit}"


def measure(state: Path, experiments: int, files: int) -> list[tuple[str, float, float | None]]:
    """Name, seconds, and seconds of the short list, of each page; None for pages without a target."""
    with stack(state) as kubeconfig, console(kubeconfig) as (client, _):
        lab = pdk.connect(kubeconfig)
        add_experiments(lab, SHORT)
        short, long = place(SHORT_FILES, add_files(lab, SHORT_FILES)), place(files, add_files(lab, files))
        middle = f"{long}?path=cat&after=/cat/{files // 2 | 1:07d}.txt"
        short_folder, folder, inside = paint(client, f"{short}?path=cat", f"{long}?path=cat", middle)
        short_commit, commit = paint(client, short, long)
        short_repo, repo = paint(client, short.rpartition("/")[0], long.rpartition("/")[0])
        (changes,) = paint(client, long.replace("/data/", "/changes/"))
        (listed,) = paint(client, "/experiments")
    copy_experiments(state, experiments)
    with stack(state) as kubeconfig, console(kubeconfig) as (client, _):
        last = f"/experiments?offset={experiments - SHORT}"
        assert f"of {experiments}" in client.get(last).text
        first_page, last_page = paint(client, "/experiments", last)
    return [
        (f"{experiments} experiments: first page", first_page, listed),
        ("their last page", last_page, listed),
        (f"{files} files: first page of a folder", folder, short_folder),
        ("the middle of the folder", inside, short_folder),
        ("the commit", commit, short_commit),
        ("its repo", repo, short_repo),
        ("its changes", changes, None),
    ]


def main() -> int:
    """Measure and print; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(description="Measure the console's pages of long lists.")
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pdk-console-") as folder:
        found = measure(Path(folder), options.experiments, options.files)
    for name, seconds, short in found:
        ratio = "" if short is None else f"short list {short:.3f} s, ratio {seconds / short:.2f}"
        print(f"{name:40} {seconds:8.3f} s   {ratio}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(short is not None and seconds > LONGER * short for _, seconds, short in found))


if __name__ == "__main__":
    sys.exit(main())
