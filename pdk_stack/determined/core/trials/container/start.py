"""Starts a trial's processes as the container's entry point does: prepare, source the hook, launch.

The order is the master's (``master/static/srv/entrypoint.sh``). The wheel's own modules prepare and launch, all in this
process, because each additional Python start costs most of a second.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys

HOOK = "startup-hook.sh"
# After sourcing the hook, bash writes its environment and folder to file descriptor 9.
SOURCE = f"""
set -e
set -x
source ./{HOOK}
{{ set +x; }} 2>/dev/null
env -0 >&9
printf 'PDK_HOOK_FOLDER=%s\\0' "$PWD" >&9
"""


def run_module(name: str, arguments: list[str]) -> None:
    """Run a module of the wheel like ``python -m``; exit unless it succeeds."""
    sys.argv = [name, *arguments]
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=False)
    except SystemExit as end:
        if end.code not in (None, 0):
            raise


def source_hook() -> None:
    """Source the experiment's startup hook and adopt the variables that it exports."""
    reader, writer = os.pipe()
    command = ["bash", "-c", f"exec 9>&{writer}\n{SOURCE}"]
    process = subprocess.Popen(command, pass_fds=(writer,))
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    code = process.wait()
    if code:
        sys.exit(code if code > 0 else 128 - code)
    entries = dict(entry.split("=", 1) for entry in os.fsdecode(content).split("\0") if "=" in entry)
    folder = entries.pop("PDK_HOOK_FOLDER", "")
    for name in set(os.environ) - set(entries):
        del os.environ[name]
    os.environ.update(entries)
    if folder:
        os.chdir(folder)


def main() -> None:
    """Start the trial; the working directory is the trial's."""
    # As with `python -m`, the trial's code comes first on the path.
    sys.path[0] = os.getcwd()
    run_module(
        "determined.exec.prep_container", ["--download_context_directory", "--resources", "--proxy", "--rendezvous"]
    )
    if os.path.isfile(HOOK):
        source_hook()
    sys.argv = ["determined.exec.launch"]
    runpy.run_module("determined.exec.launch", run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main()
