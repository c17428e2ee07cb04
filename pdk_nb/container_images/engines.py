"""Container tools: the command lines of Docker, Podman, and Buildah, which differ little."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdk_shared.errors import ImageError, UsageError

ENGINES = ("docker", "podman", "buildah")
# In all guides, Pachyderm's workers are linux/amd64, whatever the laptop is.
PLATFORM = "linux/amd64"
PROBE_TIMEOUT_S = 20.0
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LAST_LINES = 15
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
SIZE = re.compile(r"([0-9.]+)\s*([kKMGT]?)B?")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Engine:
    """One container tool.

    Attributes:
        name: ``docker``, ``podman`` or ``buildah``.
        program: Its path.
    """

    name: str
    program: str

    def build(
        self,
        context: Path,
        dockerfile: Path,
        image: str,
        *,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        flags: Sequence[str] = (),
        progress: Progress,
    ) -> None:
        """Build an image for :data:`PLATFORM`.

        Args:
            context: Folder that the Dockerfile copies from.
            dockerfile: The Dockerfile.
            image: Name and tag of the result.
            arguments: Build arguments.
            labels: Labels of the image. As flags they are right even if Buildah takes the layer with the Dockerfile's
                labels from an older build.
            flags: Further flags of the tool.
            progress: Called with each line that the tool prints.

        Raises:
            ImageError: The build failed.
        """
        # buildx, unlike Docker's old builder, can build for another architecture than the laptop's.
        verb = {"docker": ["buildx", "build", "--load"], "podman": ["build"], "buildah": ["bud", "--layers"]}[self.name]
        command = [self.program, *verb, "--platform", PLATFORM, "--file", str(dockerfile), "--tag", image]
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        for name, value in labels.items():
            command += ["--label", f"{name}={value}"]
        self._run([*command, *flags, str(context)], f"Can't build {image}", progress)

    def login(self, registry: str, user: str, password: str) -> None:
        """Log in to a registry; the password goes through standard input, which no process list shows.

        Raises:
            ImageError: The registry refuses.
        """
        command = [self.program, "login", "--username", user, "--password-stdin", registry]
        done = subprocess.run(command, input=password, capture_output=True, text=True)
        if done.returncode:
            raise ImageError(
                f"{self.name} can't log in to the registry: {_last(done.stderr)}",
                where=registry,
                fix=f"{self.name} login {registry}  shows more.",
            )

    def push(self, image: str, *, flags: Sequence[str] = (), progress: Progress) -> str:
        """Push an image.

        Args:
            image: Name and tag.
            flags: Further flags of the tool.
            progress: Called with each line that the tool prints.

        Returns:
            The digest under which the registry has it, ``sha256:...``.

        Raises:
            ImageError: The push failed, or the tool reports no digest.
        """
        what = f"Can't push {image}"
        fix = f"{self.name} login {image.split('/')[0]}, and check that the repository exists and is writable."
        if self.name == "docker":
            report = self._run([self.program, "push", *flags, image], what, progress, fix)
        else:
            with tempfile.NamedTemporaryFile(mode="r", prefix="pdk-digest-") as target:
                self._run([self.program, "push", *flags, "--digestfile", target.name, image], what, progress, fix)
                report = target.read()
        found = list(DIGEST.finditer(report))
        if not found:
            raise ImageError(f"The image was pushed, but {self.name} reports no digest.", where=image)
        return found[-1].group()

    def size(self, image: str) -> int:
        """Size of an image on this machine, in bytes; 0 when unknown."""
        form = "{{.Size}}"
        arguments = (
            ["images", "--format", form, image] if self.name == "buildah" else ["image", "inspect", "-f", form, image]
        )
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True)
        return _bytes(done.stdout.strip().splitlines()[0]) if done.returncode == 0 and done.stdout.strip() else 0

    def _run(self, command: Sequence[str], what: str, progress: Progress, fix: str = "") -> str:
        lines: list[str] = []
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        except OSError as error:
            raise ImageError(f"Can't start {self.name}: {error}", where=self.program) from error
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip())
                progress(lines[-1])
        if process.returncode:
            tail = "\n".join(lines[-LAST_LINES:])
            raise ImageError(f"{what} (exit code {process.returncode}):\n{tail}", where=self.name, fix=fix)
        return "\n".join(lines)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it gives no reason"


def _bytes(text: str) -> int:
    """``1234``, ``1.5 GB`` or ``340 MB`` in bytes; 0 for anything else."""
    found = SIZE.fullmatch(text.strip())
    return int(float(found[1]) * UNITS[found[2].upper()]) if found else 0


# Check both parts of Docker: `buildx inspect` alone succeeds without a daemon (commands/inspect.go of buildx prints the
# error and returns none), and docker alone may lack the plugin.
PROBES = {
    "docker": (("version", "--format", "{{.Server.Version}}"), ("buildx", "version")),
    "podman": (("info",),),
    "buildah": (("info",),),
}


def _answers(name: str, program: str) -> bool:
    """Whether a tool can build."""
    try:
        return all(
            subprocess.run([program, *probe], capture_output=True, timeout=PROBE_TIMEOUT_S).returncode == 0
            for probe in PROBES[name]
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_engine(wanted: str = "") -> Engine:
    """The container tool to use: the given one, or the first that works.

    Args:
        wanted: One of :data:`ENGINES`; any of them when empty.

    Raises:
        UsageError: It isn't one of them.
        ImageError: None is installed, or none of the installed ones works.
    """
    if wanted and wanted not in ENGINES:
        raise UsageError(f"The lab doesn't know the container tool '{wanted}'.", fix=f"Use {', '.join(ENGINES)}.")
    silent = []
    for name in [wanted] if wanted else ENGINES:
        program = shutil.which(name)
        if program is None:
            continue
        if _answers(name, program):
            return Engine(name, program)
        silent.append(name)
    if silent:
        hint = " (Docker needs a running daemon and the buildx plugin)" if "docker" in silent else ""
        raise ImageError(
            f"{', '.join(silent)} doesn't work{hint}.",
            fix=f"{silent[0]} info  shows why; or name another tool with --engine.",
        )
    raise ImageError(
        f"There is no {wanted or 'container tool'} on this machine.",
        fix="Install Docker Desktop, Podman, or Buildah. To use existing images, set registry_uri in pdk-config.",
    )
