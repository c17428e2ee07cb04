"""Isolates trials from each other and from the lab; every Python process of a trial imports this first.

* Three modules of the harness hard-code ``/run/determined`` and ``/determined_shared_fs``; on import, they are
  redirected to the trial's own folders. The wheel stays untouched.
* ``pip install`` goes to the trial's own folder (see ``pip_guard``).
* The launchers and the harness exit as soon as they finish: tearing down torch's modules at interpreter exit takes
  seconds and frees nothing that the end of the process doesn't.
"""

import atexit
import importlib.abc
import importlib.machinery
import importlib.util
import os
import runpy
import sys
import threading
from types import ModuleType

FIXED_RUN = "/run/determined"
RUN = os.environ.get("PDK_TRIAL_RUN_DIR", "")
SHARED = os.environ.get("PDK_TRIAL_SHARED_FS", "")


def redirect(module: ModuleType) -> None:
    """Redirect a module's hard-coded paths to this trial's folder."""
    for name, value in list(vars(module).items()):
        if isinstance(value, str) and value.startswith(FIXED_RUN):
            setattr(module, name, RUN + value[len(FIXED_RUN) :])
    if module.__name__ == "determined.common.constants" and SHARED:
        vars(module)["SHARED_FS_CONTAINER_PATH"] = SHARED
    if module.__name__ == "determined._info":
        for owner in (module.RendezvousInfo, module.TrialInfo, module.ResourcesInfo, module.ClusterInfo):
            for function in (owner._to_file, owner._from_file.__func__):
                function.__defaults__ = tuple(
                    RUN + value[len(FIXED_RUN) :] if isinstance(value, str) and value.startswith(FIXED_RUN) else value
                    for value in function.__defaults__ or ()
                )


class Finder(importlib.abc.MetaPathFinder):
    """Runs :func:`redirect` after the import of a module with hard-coded paths."""

    NAMES = frozenset({"determined._info", "determined.constants", "determined.common.constants"})

    def find_spec(self, name, path, target=None):  # type: ignore[no-untyped-def]
        """Find one of these modules; leave all others to the next finder."""
        if name not in self.NAMES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            redirect(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def pip_command() -> list[str] | None:
    """Return the arguments of ``pip`` or ``python -m pip``; None when this process is neither."""
    arguments = list(getattr(sys, "orig_argv", []))[1:]
    while arguments and arguments[0].startswith("-") and arguments[0] != "-m":
        arguments.pop(0)
    if arguments[:2] == ["-m", "pip"]:
        return arguments[2:]
    if arguments and os.path.basename(arguments[0]).rstrip("0123456789.") in ("pip", "pip.exe"):
        return arguments[1:]
    return None


def end_quickly() -> None:
    """Make launcher and harness programs exit without module teardown."""
    run_module = runpy._run_module_as_main  # type: ignore[attr-defined]

    def run(name: str, alter_argv: bool = True) -> object:
        if not name.startswith(("determined.", "torch.distributed.")):
            return run_module(name, alter_argv)
        code: object = 0
        try:
            run_module(name, alter_argv)
        except SystemExit as end:
            code = end.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
        # The interpreter's own exit steps, up to module teardown.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(int(code or 0) & 0xFF)

    runpy._run_module_as_main = run  # type: ignore[attr-defined]


def load_next() -> None:
    """Load the next sitecustomize on the path, which this one shadows."""
    here = os.path.dirname(os.path.abspath(__file__))
    others = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


if RUN:
    sys.meta_path.insert(0, Finder())
    end_quickly()
    pip_arguments = pip_command()
    if pip_arguments is not None and os.environ.get("PDK_PIP_GUARDED") != "1":
        import pip_guard

        pip_guard.main(pip_arguments)
load_next()
