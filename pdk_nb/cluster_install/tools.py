"""The programs that the installer calls: found on the PATH, with their versions; what they say goes to a log."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pdk_shared.errors import PdkError

__all__ = ["HOW_TO_GET", "InstallError", "Tool", "Version", "find_tool", "parse_version"]

HOW_TO_GET = {
    "docker": "Install Docker Engine or Docker Desktop: https://docs.docker.com/get-started/get-docker/",
    "kind": "https://kind.sigs.k8s.io/docs/user/quick-start/#installation  (or: brew install kind)",
    "k3d": "https://k3d.io/stable/#installation  (or: brew install k3d)",
    "helm": "https://helm.sh/docs/intro/install/  (or: brew install helm)",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/  (or: brew install kubectl)",
}
# How each program tells its version.
ASK = {
    "docker": ("version", "--format", "{{.Client.Version}}"),
    "kind": ("version",),
    "k3d": ("version",),
    "helm": ("version", "--short"),
    "kubectl": ("version", "--client", "-o", "json"),
}
ASK_TIMEOUT_S = 20.0
# No single step of a program takes longer; pulling a node's image over a slow line comes closest.
RUN_TIMEOUT_S = 1800.0
LAST_LINES = 12

Version = tuple[int, int, int]


class InstallError(PdkError):
    """A cluster can't be created, or a platform can't be installed on it."""


@dataclass(frozen=True)
class Tool:
    """A program of this machine.

    Attributes:
        name: Its name.
        program: Its path.
        version: Its version; zeros when it doesn't tell.
    """

    name: str
    program: str
    version: Version

    @property
    def version_text(self) -> str:
        """The version for people."""
        return ".".join(map(str, self.version)) if any(self.version) else "of unknown version"

    def run(
        self,
        *arguments: str,
        log: Path,
        what: str,
        fix: str = "",
        env: Mapping[str, str] | None = None,
        text: str = "",
        timeout: float = RUN_TIMEOUT_S,
    ) -> str:
        """Run it, and append to a log what it prints.

        Args:
            arguments: Its arguments; never a secret, which other users of the machine could see.
            log: File that the command and its output are appended to.
            what: What can't be done if it fails, e.g. ``Can't create the cluster``.
            fix: What to do then.
            env: Environment variables on top of this process' own.
            text: What it reads from standard input.
            timeout: Seconds after which it is ended.

        Returns:
            What it wrote to standard output.

        Raises:
            InstallError: It ended with an error; the message has its last lines.
        """
        done = self.ask(*arguments, env=env, text=text, timeout=timeout)
        with log.open("a") as file:
            file.write(f"$ {self.name} {' '.join(arguments)}\n{done.stdout}{done.stderr}\n")
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()
            raise InstallError(
                f"{what} ({self.name} ended with {done.returncode}):\n" + "\n".join(lines[-LAST_LINES:]),
                where=f"log: {log}",
                fix=fix,
            )
        return done.stdout

    def ask(
        self, *arguments: str, env: Mapping[str, str] | None = None, text: str = "", timeout: float = ASK_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run it without a log; an error is an answer, too.

        Raises:
            InstallError: It doesn't start, or doesn't end.
        """
        try:
            return subprocess.run(
                [self.program, *arguments],
                capture_output=True,
                text=True,
                input=text,
                env={**os.environ, **(env or {})},
                timeout=timeout,
            )
        except OSError as error:
            raise InstallError(f"Can't start {self.name}: {error.strerror}.", where=self.program) from error
        except subprocess.TimeoutExpired as error:
            raise InstallError(
                f"{self.name} didn't end within {timeout:.0f} s.", where=f"{self.name} {' '.join(arguments)}"
            ) from error


def parse_version(text: str) -> Version:
    """The first version in a text, e.g. ``kind v0.31.0 go1.25 linux/amd64``; zeros when there is none."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else (0, 0, 0)


def find_tool(name: str) -> Tool | None:
    """A program on the PATH with its version; None when it isn't there."""
    program = shutil.which(name)
    if program is None:
        return None
    tool = Tool(name, program, (0, 0, 0))
    try:
        answer = tool.ask(*ASK[name]).stdout
    except InstallError:
        return tool
    if name == "kubectl":
        try:
            answer = str(json.loads(answer)["clientVersion"]["gitVersion"])
        except (ValueError, KeyError, TypeError):
            answer = ""
    return Tool(name, program, parse_version(answer))
