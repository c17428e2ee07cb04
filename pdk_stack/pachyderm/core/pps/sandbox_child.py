"""Runs a command in a private mount namespace where a folder appears as ``/pfs``.

This is a program, not a module of the daemon: it starts with the interpreter's ``-I -S``, uses only the standard
library, and replaces itself with the command. Linux only; the daemon probes it once.

Arguments, as JSON: ``{"root": empty folder, "pfs": folder, "cwd": path, "binds": [[source, target], …],
"argv": [program, argument, …]}``.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

# <linux/sched.h>, <sys/mount.h>
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
CANNOT_RUN = 126
# Begins a line that this program writes, not the user's code.
MARK = "\x1e"


def check(result: int, what: str) -> None:
    """Raise OSError if a system call failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


class Namespace:
    """The new root, built from the old one."""

    def __init__(self, root: str) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._root = root
        self._shadowed: set[str] = set()

    def enter(self) -> None:
        """Enter a new mount namespace; without root privileges, through a user namespace."""
        uid, gid = os.getuid(), os.getgid()
        if uid != 0 or self._libc.unshare(CLONE_NEWNS) != 0:
            check(self._libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
            for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
                with open(f"/proc/self/{name}", "w") as handle:
                    handle.write(text)
        self._mount(None, "/", None, MS_REC | MS_PRIVATE)

    def _mount(self, source: str | None, target: str, kind: str | None, flags: int) -> None:
        def encoded(text: str | None) -> bytes | None:
            return None if text is None else text.encode()

        result = self._libc.mount(encoded(source), encoded(target), encoded(kind), flags, None)
        check(result, f"mount {source or kind or ''} on {target}")

    def shadow(self, path: str, leave_out: str = "") -> None:
        """Replace a folder with a temporary one that holds its children, so that more can be added."""
        if path in self._shadowed:
            return
        self._shadowed.add(path)
        target = self._root + path
        self._mount("pdk-lab", target, "tmpfs", 0)
        for name in os.listdir(path):
            if name == leave_out:
                continue
            old, new = os.path.join(path, name), os.path.join(target, name)
            if os.path.islink(old):
                os.symlink(os.readlink(old), new)
            elif os.path.isdir(old):
                os.mkdir(new)
                self._mount(old, new, None, MS_BIND | MS_REC)
            elif os.path.isfile(old):
                os.close(os.open(new, os.O_CREAT))
                self._mount(old, new, None, MS_BIND)

    def bind(self, source: str, target: str) -> None:
        """Bind a folder to a path, which need not exist; the machine's own folders don't change."""
        place = ""
        # Resolve links here: inside the new root, an absolute link would lead back to the old root.
        for part in os.path.realpath(target).strip("/").split("/"):
            if os.path.isdir(place or "/"):
                self.shadow(place or "/")
            place = f"{place}/{part}"
            if not os.path.isdir(self._root + place):
                os.mkdir(self._root + place)
        self._mount(source, self._root + place, None, MS_BIND | MS_REC)


def main() -> None:
    """Build the new root and execute the command."""
    order = json.loads(sys.argv[1])
    try:
        namespace = Namespace(order["root"])
        namespace.enter()
        namespace.shadow("/", leave_out="pfs")
        os.mkdir(order["root"] + "/pfs")
        namespace.bind(order["pfs"], "/pfs")
        for source, target in order["binds"]:
            namespace.bind(source, target)
        os.chroot(order["root"])
        os.chdir(order["cwd"])
    except OSError as error:
        print(f"{MARK}cannot prepare /pfs: {error}", file=sys.stderr)
        raise SystemExit(CANNOT_RUN) from error
    argv = order["argv"]
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"{MARK}error running user code: cannot start {argv[0]}: {error.strerror}", file=sys.stderr)
        raise SystemExit(127) from error


if __name__ == "__main__":
    main()
