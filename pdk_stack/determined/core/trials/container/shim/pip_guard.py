"""Redirects ``pip install`` inside a trial to the trial's own folder, never to the lab's environment.

A container can change its own packages because it is discarded. A trial on this machine shares the lab's environment,
so it installs into its own folder, which comes first on its path:

* requirements that are already satisfied need no network;
* for the others, pip resolves the missing packages, and only those go into the folder.
"""

import json
import os
import re
import subprocess
import sys
from importlib import metadata

VALUE_OPTIONS = {
    *("-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host"),
    *("--proxy", "--retries", "--timeout", "--cert", "--client-cert", "--cache-dir", "--log", "--progress-bar"),
    *("--no-binary", "--only-binary", "--python-version", "--platform", "--implementation", "--abi", "--src"),
    *("--upgrade-strategy", "--config-settings", "-C", "--global-option", "--hash", "--use-feature"),
}
#: Options that set the install location, which the guard sets itself.
PLACE_OPTIONS = {"-t", "--target", "--prefix", "--root"}
PLACE_FLAGS = {"--user", "--break-system-packages", "--force-reinstall", "-I", "--ignore-installed"}
REFUSED = {"uninstall"}


def split(arguments: list[str]) -> tuple[list[str], list[str], list[str], list[str]]:
    """Split the arguments of ``pip install`` into requirements, requirement files, editables, and options."""
    requirements: list[str] = []
    files: list[str] = []
    editables: list[str] = []
    options: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, _, value = word.partition("=")
        if word in ("-r", "--requirement"):
            files.append(rest.pop(0))
        elif name == "--requirement":
            files.append(value)
        elif word in ("-e", "--editable"):
            editables.append(rest.pop(0))
        elif word in PLACE_OPTIONS:
            rest.pop(0)
        elif name in PLACE_OPTIONS or word in PLACE_FLAGS:
            continue
        elif word in VALUE_OPTIONS:
            options += [word, rest.pop(0)]
        elif word.startswith("-"):
            options.append(word)
        else:
            requirements.append(word)
    return requirements, files, editables, options


def lines_of(path: str) -> list[str] | None:
    """Read the requirements of a file; None when it contains anything but plain ones."""
    found = []
    with open(path, encoding="utf-8") as handle:
        for line in handle:
            line = re.sub(r"(^|\s)#.*$", "", line).strip()
            if line.startswith("-") or line.endswith("\\"):
                return None
            if line:
                found.append(line)
    return found


def is_there(text: str) -> str | None:
    """Return pip's message when an installed package satisfies a requirement and its extras, else None."""
    from pip._vendor.packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None
    if requirement.url:
        return None
    if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
        return f"Ignoring {requirement.name}: markers {str(requirement.marker)!r} don't match your environment"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return None
    if not requirement.specifier.contains(version, prereleases=True):
        return None
    for extra in requirement.extras:
        for needed in metadata.requires(requirement.name) or []:
            part = Requirement(needed)
            if part.marker and part.marker.evaluate({"extra": extra}) and not part.marker.evaluate({"extra": ""}):
                part.marker = None
                if is_there(str(part)) is None:
                    return None
    return f"Requirement already satisfied: {text} ({version})"


def pip(arguments: list[str]) -> int:
    """Run pip itself."""
    environment = {"PIP_RETRIES": "1", "PIP_TIMEOUT": "8", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **os.environ}
    environment["PDK_PIP_GUARDED"] = "1"
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


def install(arguments: list[str]) -> int:
    """Install the missing packages.

    Returns:
        The exit code.
    """
    requirements, files, editables, options = split(arguments)
    upgrade = any(option in ("-U", "--upgrade") for option in options)
    missing: list[str] = []
    rest_files: list[str] = []
    listed = list(requirements)
    for path in files:
        inside = lines_of(path)
        if inside is None:
            rest_files += ["-r", path]
        else:
            listed += inside
    for text in listed:
        answer = None if upgrade else is_there(text)
        if answer is None:
            missing.append(text)
        else:
            print(answer, flush=True)
    if not missing and not rest_files and not editables:
        return 0
    target = os.environ["PDK_TRIAL_PACKAGES"]
    wanted = [*missing, *rest_files, *(word for each in editables for word in ("-e", each))]
    if any(option in ("-h", "--help", "--dry-run") for option in options):
        return pip(["install", *options, *wanted])
    report = os.path.join(os.environ["PDK_TRIAL_RUN_DIR"], "pip-report.json")
    quiet = [option for option in options if option not in ("-q", "--quiet", "-qq")]
    code = pip(["install", "--quiet", "--dry-run", "--report", report, *quiet, *wanted])
    if code:
        return code
    with open(report, encoding="utf-8") as handle:
        chosen = json.load(handle)["install"]
    if not chosen:
        return 0
    exact = [
        each["download_info"]["url"]
        if each["download_info"].get("dir_info") is not None or each["download_info"].get("vcs_info")
        else f"{each['metadata']['name']}=={each['metadata']['version']}"
        for each in chosen
    ]
    kept = [option for option in options if option not in ("-U", "--upgrade")]
    return pip(["install", "--target", target, "--upgrade", "--no-deps", *kept, *exact])


def main(arguments: list[str]) -> None:
    """Handle ``pip install`` and exit; leave other commands to pip."""
    command = next((word for word in arguments if not word.startswith("-")), "")
    if command in REFUSED:
        print("A trial shares the lab's packages, so pip does not remove any of them.", file=sys.stderr, flush=True)
        os._exit(1)
    if command != "install":
        return
    rest = list(arguments)
    rest.remove("install")
    try:
        code = install(rest)
    except BaseException as error:
        print(f"pip install: {error}", file=sys.stderr, flush=True)
        code = 1
    sys.stdout.flush()
    os._exit(code)
