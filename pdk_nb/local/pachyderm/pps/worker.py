"""Processing one datum: lay out ``/pfs``, run the code, take what it wrote."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.local.pachyderm.faults import Fault, NotFound
from pdk_nb.local.pachyderm.pfs.commits import tree_of
from pdk_nb.local.pachyderm.pfs.upload import Upload
from pdk_nb.local.pachyderm.pps.context import Context
from pdk_nb.local.pachyderm.pps.datums import Datum, DatumInput
from pdk_nb.local.pachyderm.pps.images import Image, search_path
from pdk_nb.local.pachyderm.pps.jobs import Job, Stats
from pdk_nb.local.pachyderm.pps.pipelines import Pipeline
from pdk_nb.local.pachyderm.pps.process import Outcome, base_environment, run_command
from pdk_nb.local.pachyderm.store.blobs import BlobReader
from pdk_nb.local.pachyderm.store.tree import Found


@dataclass
class Result:
    """What came of a datum.

    Attributes:
        state: A ``DatumState``.
        stats: What it cost.
        reason: Why it failed, or empty.
        out: The folder that it wrote, where it succeeded.
    """

    state: int
    stats: Stats = field(default_factory=Stats)
    reason: str = ""
    out: Path | None = None


def secret_environment(context: Context, transform: pps_pb2.Transform) -> dict[str, str]:
    """The variables that a pipeline takes from secrets.

    Raises:
        NotFound: A secret or one of its keys is missing.
    """
    variables: dict[str, str] = {}
    for each in transform.secrets:
        if not each.env_var:
            continue
        found = context.secrets.find(each.name)
        if found is None:
            raise NotFound(f"missing Kubernetes secret {each.name}")
        if each.key not in found.data:
            raise NotFound(f"Kubernetes secret {each.name} missing key {each.key}")
        variables[each.env_var] = found.data[each.key].decode(errors="replace")
    return variables


class DatumRun:
    """One datum of one job.

    Args:
        context: What all workers share.
        pipeline: The job's pipeline, in the job's version.
        job: The job.
        image: What stands for its image.
        secrets: Variables from secrets.
        datum: The datum.
        index: The worker's number.
        cancelled: When set, the run ends.
    """

    def __init__(
        self,
        context: Context,
        pipeline: Pipeline,
        job: Job,
        image: Image,
        secrets: dict[str, str],
        datum: Datum,
        index: int,
        cancelled: threading.Event,
    ) -> None:
        self._context = context
        self._pipeline = pipeline
        self._transform = pipeline.details.transform
        self._job = job
        self._image = image
        self._secrets = secrets
        self._datum = datum
        self._index = index
        self._cancelled = cancelled
        self._scratch = context.work / str(job.pk) / datum.id[:32]
        self._pfs = self._scratch / "pfs"

    @property
    def worker_id(self) -> str:
        """The name that a worker's pod would have."""
        version = self._pipeline.version
        return f"{self._pipeline.project}-{self._pipeline.name}-v{version}-{self._index}"

    def log(self, message: str, user: bool = False) -> None:
        """Write a log line of this datum."""
        self._context.logs.write(
            self._pipeline.pk,
            message,
            job=self._job.id,
            datum=self._datum.id,
            worker=self.worker_id,
            user=user,
            data=tuple(each.path for each in self._datum.inputs),
        )

    def clear(self) -> None:
        """Remove what the run left on disk."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def process(self) -> Result:
        """Run the code, again where it fails and tries are left."""
        tries = max(1, int(self._pipeline.details.datum_tries))
        stats = Stats()
        reason = ""
        recovered = False
        for attempt in range(1, tries + 1):
            if self._cancelled.is_set():
                return Result(pps_pb2.FAILED, stats, "job stopped")
            self.clear()
            started = time.monotonic()
            try:
                size = self._lay_out()
            except Fault as error:
                self.log(f"errored downloading data: {error.what}")
                return Result(pps_pb2.FAILED, stats, error.what)
            loaded = time.monotonic()
            stats += Stats(download_s=loaded - started, download_bytes=size)
            self.log("beginning to run user code")
            outcome = self._run(list(self._transform.cmd), list(self._transform.stdin))
            stats += Stats(process_s=time.monotonic() - loaded)
            reason = self._why(outcome)
            if not reason:
                self.log(f"finished running user code after {time.monotonic() - loaded:.3f}s")
                return Result(pps_pb2.SUCCESS, stats, out=self._pfs / "out")
            if outcome.cancelled:
                return Result(pps_pb2.FAILED, stats, "job stopped")
            self.log(f"errored running user code after {time.monotonic() - loaded:.3f}s: {reason}")
            if self._transform.err_cmd:
                self.log("beginning to run user error handling code")
                handled = self._run(list(self._transform.err_cmd), list(self._transform.err_stdin))
                recovered = not self._why(handled)
            if attempt < tries:
                self.log(f"failed processing datum: {reason}, retrying ({attempt} of {tries} attempts)")
        return Result(pps_pb2.RECOVERED if recovered else pps_pb2.FAILED, stats, reason)

    def _why(self, outcome: Outcome) -> str:
        if outcome.problem:
            return outcome.problem
        if outcome.timed_out:
            return f"datum timed out after {self._pipeline.details.datum_timeout.ToSeconds()}s"
        if outcome.code == 0 or outcome.code in self._transform.accept_return_code:
            return ""
        if outcome.code < 0:
            return f"signal: {-outcome.code}"
        return f"exit status {outcome.code}"

    def _run(self, command: list[str], stdin: list[str]) -> Outcome:
        workdir = self._transform.working_dir
        if self._image.workdir:
            workdir = os.path.join(self._image.workdir, workdir) if workdir else self._image.workdir
        if workdir and not Path(workdir).is_dir():
            return Outcome(127, problem=f"working directory {workdir} does not exist")
        try:
            mounts = self._secret_mounts()
            wrapped = self._context.sandbox.wrap(self._scratch, self._pfs, workdir, command, mounts)
        except Fault as error:
            return Outcome(127, problem=error.what)
        return run_command(
            wrapped,
            self._environment(),
            stdin,
            self._scratch,
            lambda line: self.log(line, user=True),
            self._cancelled,
            self._pipeline.details.datum_timeout.ToNanoseconds() / 1e9,
        )

    def _secret_mounts(self) -> dict[str, Path]:
        """Folders with secrets' values, by the path at which the code finds them."""
        mounts: dict[str, Path] = {}
        for position, each in enumerate(self._transform.secrets):
            if not each.mount_path:
                continue
            found = self._context.secrets.find(each.name)
            if found is None:
                raise NotFound(f"missing Kubernetes secret {each.name}")
            folder = self._scratch / "secrets" / str(position)
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            for key, value in found.data.items():
                (folder / key).write_bytes(value)
            mounts[each.mount_path] = folder
        return mounts

    def _environment(self) -> dict[str, str]:
        context, pipeline = self._context, self._pipeline
        root = "/pfs" if context.sandbox.has_namespace else str(self._pfs)
        variables = base_environment()
        variables["PATH"] = search_path(self._image)
        variables.update(context.worker_environment)
        variables.update(self._transform.env)
        variables.update(self._secrets)
        variables.update(
            PACH_JOB_ID=self._job.id,
            PACH_OUTPUT_COMMIT_ID=self._job.id,
            PACH_DATUM_ID=self._datum.id,
            PACH_IN_WORKER="true",
            PACH_NAMESPACE=context.namespace,
            PPS_PIPELINE_NAME=pipeline.name,
            PPS_PROJECT_NAME=pipeline.project,
            PPS_SPEC_COMMIT=pipeline.spec_commit,
            PPS_POD_NAME=self.worker_id,
            PPS_WORKER_IP=context.host,
            PPS_WORKER_GRPC_PORT="1080",
            PEER_PORT=str(context.grpc_port),
            PACHD_PEER_SERVICE_HOST=context.host,
            PACHD_PEER_SERVICE_PORT=str(context.grpc_port),
            PACHD_SERVICE_HOST=context.host,
            PACHD_SERVICE_PORT=str(context.grpc_port),
            S3_ENDPOINT=f"http://{context.host}:{context.s3_port}",
        )
        if context.token:
            variables["PACH_TOKEN"] = context.token
        for each in self._datum.inputs:
            name = each.leaf.name
            variables[name] = f"{root}/{name}{'' if each.path == '/' else each.path}"
            variables[f"{name}_COMMIT"] = each.commit.id
            if each.join_on:
                variables[f"PACH_DATUM_{name}_JOIN_ON"] = each.join_on
            if each.group_by:
                variables[f"PACH_DATUM_{name}_GROUP_BY"] = each.group_by
        return variables

    def _lay_out(self) -> int:
        """Write the datum's inputs below ``/pfs``; their size in bytes."""
        (self._pfs / "out").mkdir(parents=True)
        total = 0
        engine = self._context.engine
        with engine.read() as connection, engine.blobs.reader(connection) as content:
            for each in self._datum.inputs:
                folder = self._pfs / each.leaf.name
                folder.mkdir(exist_ok=True)
                tree = tree_of(connection, each.commit)
                for found in tree.walk(each.found):
                    target = Path(f"{folder}{found.path}")
                    if found.is_dir:
                        target.mkdir(parents=True, exist_ok=True)
                        continue
                    target.parent.mkdir(parents=True, exist_ok=True)
                    total += self._write(content, each, found, target)
        return total

    def _write(self, content: BlobReader, each: DatumInput, found: Found, target: Path) -> int:
        with target.open("wb") as handle:
            if getattr(each.leaf, "empty_files", False):
                return 0
            for chunk in content.read(found.entry.blobs):
                handle.write(chunk)
        return found.entry.size

    def collect(self, out: Path, upload: Upload) -> int:
        """Take what the code wrote into the job's upload; its size in bytes.

        Raises:
            Fault: A file has a name that Pachyderm refuses, or is neither file nor folder.
        """
        return self._collect(out, "", upload, ())

    def _collect(self, folder: Path, place: str, upload: Upload, above: tuple[str, ...]) -> int:
        real = os.path.realpath(folder)
        if real in above:
            raise Fault(f"links form a loop in output: {place}")
        total = 0
        for name in sorted(os.listdir(folder)):
            path = f"{place}/{name}"
            source = self._resolve(folder / name)
            mode = source.stat().st_mode
            if stat.S_ISDIR(mode):
                total += self._collect(source, path, upload, (*above, real))
            elif stat.S_ISREG(mode):
                total += upload.add_local(path, source, self._datum.id)
            else:
                raise Fault(f"not a regular file: {path}")
        return total

    def _resolve(self, source: Path) -> Path:
        """Where a link that points into ``/pfs`` really leads."""
        if source.is_symlink():
            target = os.readlink(source)
            if target.startswith("/pfs/"):
                return self._resolve(self._pfs / target[len("/pfs/") :])
        if not source.exists():
            raise Fault(f"broken link in output: {source.name}")
        return source
