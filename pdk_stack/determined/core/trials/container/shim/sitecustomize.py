"""Imported by every Python of a trial, before anything else: keeps trials apart from each other and from the lab.

* The harness has ``/run/determined`` and ``/determined_shared_fs`` fixed in three modules; they are pointed to the
  trial's own folders once those modules are imported. The wheel stays untouched.
* ``pip install`` goes to the trial's own folder (see ``pip_guard``).
* The launchers and the harness end as soon as they are done: taking torch's modules apart one by one at the end of
  the interpreter takes seconds and frees nothing that the end of the process does not free.
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
    """Point a module's fixed paths to this trial's folder."""
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
    """Runs :func:`redirect` behind the import of the modules with fixed paths."""

    NAMES = frozenset({"determined._info", "determined.constants", "determined.common.constants"})

    def find_spec(self, name, path, target=None):  # type: ignore[no-untyped-def]
        """Find one of the modules; all others are left to the next finder."""
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
    """The arguments of ``pip`` or ``python -m pip``; None when this process is neither."""
    arguments = list(getattr(sys, "orig_argv", []))[1:]
    while arguments and arguments[0].startswith("-") and arguments[0] != "-m":
        arguments.pop(0)
    if arguments[:2] == ["-m", "pip"]:
        return arguments[2:]
    if arguments and os.path.basename(arguments[0]).rstrip("0123456789.") in ("pip", "pip.exe"):
        return arguments[1:]
    return None


def end_quickly() -> None:
    """Let modules of the launchers and the harness that are run as programs end without taking modules apart."""
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
        # What the interpreter does at its end, up to taking modules apart.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(int(code or 0) & 0xFF)

    runpy._run_module_as_main = run  # type: ignore[attr-defined]


def load_next() -> None:
    """Another sitecustomize further down the path is loaded as it would be without this one."""
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
