"""Speed of the embedded Pachyderm against its own client library, in one run on one server.

Run from the checkout: ``python -m benchmarks.pachyderm.speed [--quick]``. Prints one line per figure and, with
``--json FILE``, writes them. Ratios compare ways of doing the same thing against the same server.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import boto3
import psutil
import python_pachyderm
from botocore.client import Config
from python_pachyderm.service import pps_proto

from tests.stack.pachyderm.server import Server


def timed(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class Bench:
    """The measurements, one method each."""

    def __init__(self, client: python_pachyderm.Client, server: Server, folder: Path, quick: bool) -> None:
        self.client = client
        self.server = server
        self.folder = folder
        self.figures: dict[str, float] = {}
        self.small = 200 if quick else 2000
        self.large = (20 if quick else 200) * 1_000_000
        self.listing = 5_000 if quick else 100_000
        source = random.Random(7)
        self.pictures = [source.randbytes(10_000) for _ in range(self.small)]
        self.photos = folder / "photos"
        self.photos.mkdir()
        for number, content in enumerate(self.pictures):
            (self.photos / f"{number:05d}.jpg").write_bytes(content)
        self.big = folder / "big.bin"
        self.big.write_bytes(source.randbytes(self.large))

    def note(self, name: str, value: float, unit: str) -> None:
        self.figures[name] = round(value, 3)
        print(f"{name:55s} {value:12.2f} {unit}", flush=True)

    def _cpu(self) -> float:
        """Processor seconds that the server has used so far."""
        assert self.server.process
        used = psutil.Process(self.server.process.pid).cpu_times()
        return float(used.user + used.system)

    def _cpu_since(self, before: float) -> float:
        """Processor seconds that the server has used since then; at least one tick of the system's clock."""
        return max(self._cpu() - before, 1 / os.sysconf("SC_CLK_TCK"))

    def _put_files(self, repo: str, source: Path) -> float:
        self.client.create_repo(repo)

        def work() -> None:
            python_pachyderm.put_files(self.client, str(source), (repo, "master"), "/")

        return timed(work)

    def _one_call(self, repo: str, files: list[Path]) -> float:
        self.client.create_repo(repo)

        def work() -> None:
            handles = [path.open("rb") for path in files]
            with self.client.modify_file_client((repo, "master")) as modify:
                for path, handle in zip(files, handles, strict=True):
                    modify.put_file_from_fileobj(f"/{path.name}", handle)
            for handle in handles:
                handle.close()

        return timed(work)

    def small_files(self) -> None:
        files = sorted(self.photos.iterdir())
        before = self._cpu()
        ours = self._one_call("small-ours", files)
        self.note("small files in, the server's share", self.small / self._cpu_since(before), "files/s")
        theirs = self._put_files("small-theirs", self.photos)
        self.note("small files in, one request", self.small / ours, "files/s")
        self.note("small files in, put_files", self.small / theirs, "files/s")
        self.note("small files: one request over put_files", theirs / ours, "x")

    def large_file(self) -> None:
        before = self._cpu()
        ours = self._one_call("large-ours", [self.big])
        self.note("large file in, the server's share", self.large / 1e6 / self._cpu_since(before), "MB/s")
        folder = self.folder / "one"
        folder.mkdir()
        os.link(self.big, folder / "big.bin")
        theirs = self._put_files("large-theirs", folder)
        self.note("large file in, one request", self.large / 1e6 / ours, "MB/s")
        self.note("large file in, put_files", self.large / 1e6 / theirs, "MB/s")
        self.note("large file: one request over put_files", theirs / ours, "x")
        before = self._cpu()
        out = timed(lambda: self._drain(("large-ours", "master"), "/big.bin"))
        self.note("large file out, the server's share", self.large / 1e6 / self._cpu_since(before), "MB/s")
        self.note("large file out", self.large / 1e6 / out, "MB/s")

    def _drain(self, commit: tuple[str, str], path: str) -> None:
        with self.client.get_file(commit, path) as source:
            while source.read(4 << 20):
                pass

    def reading(self) -> None:
        commit = ("small-ours", "master")
        single = timed(
            lambda: [self.client.get_file(commit, f"/{number:05d}.jpg").read() for number in range(self.small)]
        )

        def stream() -> None:
            with self.client.get_file_tar(commit, "/") as archive:
                for member in archive:
                    taken = archive.extractfile(member)
                    if taken:
                        taken.read()

        together = timed(stream)
        self.note("commit out, single gets", self.small / single, "files/s")
        self.note("commit out, one tar stream", self.small / together, "files/s")
        self.note("commit out: tar over single gets", single / together, "x")

    def gateway(self) -> None:
        """One large object through the S3 gateway and back, and small ones over one connection."""
        s3 = boto3.client(
            "s3",
            endpoint_url=self.server.s3,
            aws_access_key_id="any",
            aws_secret_access_key="any",
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )
        s3.create_bucket(Bucket="master.gateway")
        with self.big.open("rb") as source:
            put = timed(lambda: s3.put_object(Bucket="master.gateway", Key="big", Body=source))
        get = timed(lambda: s3.get_object(Bucket="master.gateway", Key="big")["Body"].read())
        before = self._cpu()
        number = self.small // 4
        small = timed(
            lambda: [
                s3.get_object(Bucket="master.small-ours", Key=f"{each:05d}.jpg")["Body"].read()
                for each in range(number)
            ]
        )
        self.note("S3: large object in", self.large / 1e6 / put, "MB/s")
        self.note("S3: large object out", self.large / 1e6 / get, "MB/s")
        self.note("S3: small objects out", number / small, "objects/s")
        self.note("S3: small objects out, the server's share", number / self._cpu_since(before), "objects/s")

    def list_many(self) -> None:
        self.client.create_repo("many")
        with self.client.modify_file_client(("many", "master")) as modify:
            for number in range(self.listing):
                modify.put_file_from_bytes(f"/d/{number:06d}", b"")
        assert self.server.process
        memory = psutil.Process(self.server.process.pid).memory_info
        before = memory().rss
        peak = count = 0

        def work() -> None:
            nonlocal peak, count
            for count, _ in enumerate(self.client.list_file(("many", "master"), "/d"), 1):
                if count % 5000 == 0:
                    peak = max(peak, memory().rss)

        used = self._cpu()
        seconds = timed(work)
        assert count == self.listing
        self.note(f"listing {self.listing} files, the server's share", count / (self._cpu() - used), "files/s")
        self.note(f"listing {self.listing} files", count / seconds, "files/s")
        self.note("listing: growth of the server", max(0, peak - before) / 1e6, "MB")

    def job_start(self) -> None:
        self.client.create_repo("start")
        self.client.create_pipeline_from_request(
            pps_proto.CreatePipelineRequest(
                pipeline=pps_proto.Pipeline(name="starter"),
                transform=pps_proto.Transform(image="ubuntu", cmd=["sh", "-c", "date +%s.%N > /pfs/out/started"]),
                input=pps_proto.Input(pfs=pps_proto.PFSInput(repo="start", glob="/")),
            )
        )
        delays = []
        for number in range(5):
            self.client.put_file_bytes(("start", "master"), "/x", str(number).encode())
            info = next(self.client.inspect_commit(("start", "master")))
            next(self.client.inspect_job(info.commit.id, "starter", wait=True))
            begun = float(self.client.get_file(("starter", info.commit.id), "/started").read())
            delays.append(begun - info.finished.ToNanoseconds() / 1e9)
        self.note("commit finished to user code running, median", sorted(delays)[2], "s")

    def datums(self) -> None:
        """Datums that do nothing, so that only their handling counts; in one worker and in four."""
        self.client.create_repo("datums")
        number = self.small // 20
        with self.client.modify_file_client(("datums", "master")) as modify:
            for each in range(number):
                modify.put_file_from_bytes(f"/{each:04d}", b"x")
        speed = {}
        for workers in (1, 4):
            name = f"datums-{workers}"
            self.client.create_pipeline_from_request(
                pps_proto.CreatePipelineRequest(
                    pipeline=pps_proto.Pipeline(name=name),
                    transform=pps_proto.Transform(image="ubuntu", cmd=["true"]),
                    input=pps_proto.Input(pfs=pps_proto.PFSInput(repo="datums", glob="/*")),
                    parallelism_spec=pps_proto.ParallelismSpec(constant=workers),
                )
            )
            job = next(self.client.list_job(name)).job.id
            info = next(self.client.inspect_job(job, name, wait=True))
            assert info.data_processed == number
            speed[workers] = number * 1e9 / (info.finished.ToNanoseconds() - info.started.ToNanoseconds())
        self.note("datums of a job, one worker", speed[1], "datums/s")
        self.note("datums of a job: four workers over one", speed[4] / speed[1], "x")

    def memory(self) -> None:
        """The server's peak while files of one and of four times the size come in and go out."""
        assert self.server.process
        process = psutil.Process(self.server.process.pid)
        self.client.create_repo("memory")
        peaks: dict[tuple[str, int], int] = {}
        for times in (1, 4):
            path = f"/big-{times}"
            peak = 0

            def look() -> None:
                nonlocal peak
                peak = max(peak, process.memory_info().rss)

            with self.client.modify_file_client(("memory", "master")) as modify:
                modify.put_file_from_fileobj(path, Repeated(self.big, times, look))
            peaks["in", times], peak = peak, 0
            with self.client.get_file(("memory", "master"), path) as source:
                while source.read(4 << 20):
                    look()
            peaks["out", times] = peak
        for way in ("in", "out"):
            self.note(f"large file {way}, peak of the server", peaks[way, 1] / 1e6, "MB")
            self.note(f"large file {way}, peak with four times the size", peaks[way, 4] / peaks[way, 1], "x")


class Repeated(io.RawIOBase):
    """A file's content several times over, without holding it.

    Args:
        path: The file.
        times: How often.
        on_read: Called at every read.
    """

    def __init__(self, path: Path, times: int, on_read: Callable[[], None]) -> None:
        self._path = path
        self._left = times
        self._on_read = on_read
        self._handle: io.BufferedReader | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._on_read()
        while self._handle is not None or self._left:
            if self._handle is None:
                self._left -= 1
                self._handle = self._path.open("rb")
            data = self._handle.read(size)
            if data:
                return data
            self._handle.close()
            self._handle = None
        return b""


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pdk-bench-") as scratch:
        folder = Path(scratch)
        (folder / "server").mkdir()
        server = Server(folder / "server").start()
        try:
            bench = Bench(server.client(), server, folder, args.quick)
            for name in (
                "job_start",
                "datums",
                "small_files",
                "reading",
                "gateway",
                "memory",
                "large_file",
                "list_many",
            ):
                getattr(bench, name)()
        finally:
            server.kill()
    if args.json:
        args.json.write_text(json.dumps(bench.figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
