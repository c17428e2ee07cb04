"""The experiment's code: fetched fresh for every run, and named by a SHA.

``file://`` and ``https://`` URLs are cloned alike, one commit deep. A folder without git history (an unpacked zip) is
copied, and named by a hash of its contents.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pdk_shared.errors import SourceError, UsageError

__all__ = ["Source", "content_hash", "fetch", "look_up", "plain_url"]

GIT_TIMEOUT_S = 300
# Helpers like ext:: run a command that the URL names, so only transports that fetch are allowed.
TRANSPORTS = "file:git:http:https:ssh"
SKIPPED_FOLDERS = frozenset(
    {"__pycache__", ".git", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)


@dataclass(frozen=True)
class Source:
    """Fetched code.

    Attributes:
        folder: The wanted sub-folder, on this machine.
        url: Where it came from, without credentials.
        ref: Branch, tag or commit that was asked for.
        sha: The commit, or ``sha256:<hex>`` of a folder without history.
        notes: Warnings for the log.
        handler: The wanted file beside the sub-folder, on this machine; None when none was asked for.
    """

    folder: Path
    url: str
    ref: str
    sha: str
    notes: tuple[str, ...] = ()
    handler: Path | None = None


def plain_url(url: str) -> str:
    """A URL in its plain form: without the guide's empty port and user ``git``, and without any credentials.

    ``https://git@github.com:/determined-ai/pdk.git`` -> ``https://github.com/determined-ai/pdk.git``
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return url
    host = parts.hostname or ""
    tail = parts.netloc.rpartition("@")[2]
    port = tail.rpartition(":")[2] if ":" in tail else ""
    return parts._replace(netloc=f"{host}:{port}" if port else host).geturl()


def _clone_url(url: str) -> str:
    """What git is given: the plain form, but with real credentials kept."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return url
    user = parts.netloc.rpartition("@")[0]
    plain = urlsplit(plain_url(url))
    return plain._replace(netloc=f"{user}@{plain.netloc}").geturl() if user and user != "git" else plain.geturl()


def content_hash(folder: Path) -> str:
    """``sha256:<hex>`` over the names and bytes of all files below a folder; caches and hidden files don't count."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder)
        if any(part in SKIPPED_FOLDERS or part.startswith(".") for part in name.parts):
            continue
        data = path.read_bytes()
        digest.update(f"{name.as_posix()}\0{len(data)}\0".encode())
        digest.update(data)
    return f"sha256:{digest.hexdigest()}"


def fetch(url: str, ref: str, sub_dir: str, into: Path, handler: str = "") -> Source:
    """Fetch one sub-folder of a repository at one commit.

    Args:
        url: ``https://...``, ``file:///...``, ``git@host:path`` or a plain path.
        ref: Branch, tag or commit; empty means the default branch.
        sub_dir: Folder inside the repository; empty means its root.
        into: A folder to work in; a new folder is made below it.
        handler: A file inside the repository that is wanted, too; none when empty.

    Raises:
        UsageError: The URL or the ref would be an option or a command for git.
        SourceError: The repository, the ref, the sub-folder or the handler does not exist, git is missing or fails.
    """
    _check_words(url, ref)
    local = _local_path(url)
    into.mkdir(parents=True, exist_ok=True)
    target = into / "code-repository"
    if target.exists():
        shutil.rmtree(target)
    if local is not None and not local.is_dir():
        raise SourceError("The code's folder doesn't exist.", where=url, fix="check --git-url")
    if local is not None and not _is_repository(local):
        return _copy(local, url, ref, sub_dir, target, handler)
    found = _clone(url, ref, sub_dir, target, local)
    return replace(found, handler=_file(target, handler, found.url, ref)) if handler else found


def look_up(url: str, ref: str, timeout: float = 20.0) -> str:
    """The commit that a ref stands for, without fetching anything.

    Args:
        url: As for :func:`fetch`.
        ref: Branch, tag or commit; empty means the default branch.
        timeout: Seconds.

    Returns:
        The SHA; the ref itself when it is one, and an empty text for a folder without git history.

    Raises:
        UsageError: The URL or the ref would be an option or a command for git.
        SourceError: The repository or the ref does not exist, or the server does not answer.
    """
    _check_words(url, ref)
    local = _local_path(url)
    if local is not None and not local.is_dir():
        raise SourceError("The code's folder doesn't exist.", where=url, fix="check git_url")
    if local is not None and not _is_repository(local):
        return ""
    source, shown = local.as_uri() if local is not None else _clone_url(url), plain_url(url)
    done = _git(["ls-remote", "--", source, ref or "HEAD"], Path.cwd(), shown, check=False, timeout=timeout)
    if done.returncode != 0:
        _explain(done.stderr, shown, source, ref or "HEAD", Path.cwd())
    listed = done.stdout.split()
    if not listed and not re.fullmatch(r"[0-9a-fA-F]{7,40}", ref):
        raise _no_such_ref(ref or "HEAD", shown, source, Path.cwd())
    return listed[0] if listed else ref


def _check_words(url: str, ref: str) -> None:
    """Refuse what git would take for an option, or for a helper that runs commands."""
    if ref.startswith("-"):
        raise UsageError(f"A git ref can't begin with '-': {ref}", fix="check --git-ref: a branch, tag or commit")
    if url.startswith("-"):
        raise UsageError(f"A git URL can't begin with '-': {url}", fix="check --git-url; for a folder, write ./-name")
    scheme = re.match(r"([\w.+-]+)(::|://)", url)
    if scheme and (scheme[2] == "::" or scheme[1].lower() not in TRANSPORTS.split(":")):
        allowed = ", ".join(TRANSPORTS.split(":"))
        raise UsageError(
            f"The git transport '{scheme[0]}' isn't allowed.", where=plain_url(url), fix=f"check --git-url: {allowed}"
        )


def _local_path(url: str) -> Path | None:
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path))
    if "://" in url or re.match(r"^[\w.-]+@[\w.-]+:", url):
        return None
    return Path(url).expanduser().absolute()


def _is_repository(folder: Path) -> bool:
    return (folder / ".git").exists() or ((folder / "HEAD").is_file() and (folder / "objects").is_dir())


def _sub_folder(root: Path, sub_dir: str, url: str, ref: str) -> Path:
    folder = (root / sub_dir.strip("/")).resolve()
    if not folder.is_relative_to(root.resolve()):
        raise SourceError(f"The sub-folder {sub_dir!r} leads out of the repository.", where=url, fix="check --sub-dir")
    if not folder.is_dir():
        here = ", ".join(sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")))
        raise SourceError(
            f"The code has no folder {sub_dir!r} at {ref or 'its default branch'}.",
            where=url,
            fix=f"check --sub-dir; the repository holds: {here or 'no folder'}",
        )
    return folder


def _file(root: Path, name: str, url: str, ref: str) -> Path:
    path = (root / name.strip("/")).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        raise SourceError(
            f"The code has no file {name!r} at {ref or 'its default branch'}.", where=url, fix="check --handler"
        )
    return path


def _copy(local: Path, url: str, ref: str, sub_dir: str, target: Path, handler: str) -> Source:
    folder = _sub_folder(local, sub_dir, url, ref)
    ignore = shutil.ignore_patterns(*SKIPPED_FOLDERS)
    copied = target / sub_dir.strip("/") if sub_dir.strip("/") else target
    shutil.copytree(folder, copied, ignore=ignore)
    wanted = None
    if handler:
        wanted = target / handler.strip("/")
        wanted.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_file(local, handler, url, ref), wanted)
    note = f"{local} has no git history: the folder is copied as it is" + (
        f", and --git-ref {ref} is ignored" if ref else ""
    )
    return Source(copied, url, ref, content_hash(target if handler else copied), (note,), wanted)


def _clone(url: str, ref: str, sub_dir: str, target: Path, local: Path | None) -> Source:
    source = local.as_uri() if local is not None else _clone_url(url)
    shown = plain_url(url)
    target.mkdir()
    _git(["init", "--quiet", "."], target, shown)
    wanted = ref or "HEAD"
    first = _git(["fetch", "--quiet", "--depth", "1", "--no-tags", "--", source, wanted], target, shown, check=False)
    if first.returncode != 0:
        _explain(first.stderr, shown, source, ref, target)
        # Servers may refuse to hand out a bare (or shortened) SHA: look for it in the whole history.
        refspecs = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
        _git(["fetch", "--quiet", "--", source, *refspecs], target, shown)
        found = _git(["rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"], target, shown, check=False)
        if found.returncode != 0:
            raise _no_such_ref(ref, shown, source, target)
        wanted_sha = found.stdout.strip()
    else:
        wanted_sha = _git(["rev-parse", "FETCH_HEAD^{commit}"], target, shown).stdout.strip()
    _git(["-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", wanted_sha], target, shown)
    notes = _uncommitted(local, sub_dir) if local is not None else ()
    return Source(_sub_folder(target, sub_dir, shown, ref), shown, ref, wanted_sha, notes)


def _explain(stderr: str, shown: str, source: str, ref: str, target: Path) -> None:
    """Raise unless the failure may be a SHA that the server does not hand out by itself."""
    text = _redact(stderr.strip(), source)
    if re.fullmatch(r"[0-9a-fA-F]{7,40}", ref):
        return
    if "couldn't find remote ref" in text or "could not find remote ref" in text.lower():
        raise _no_such_ref(ref or "HEAD", shown, source, target)
    fix = "check --git-url, and that this machine reaches it"
    if "could not read Username" in text or "Authentication failed" in text:
        fix = "the repository doesn't exist or is private: give a URL with a token, from a secret"
    if "dubious ownership" in text:
        fix = "git config --global --add safe.directory <folder>, for the user that runs this stage"
    raise SourceError(
        f"The code can't be fetched: {text.splitlines()[-1] if text else 'git failed'}", where=shown, fix=fix
    )


def _no_such_ref(ref: str, shown: str, source: str, target: Path) -> SourceError:
    listed = _git(["ls-remote", "--heads", "--tags", "--", source], target, shown, check=False).stdout
    names = re.findall(r"refs/(?:heads|tags)/(\S+?)(?:\^\{\})?$", listed, re.M)
    known = ", ".join(dict.fromkeys(names[:12])) + (", ..." if len(names) > 12 else "")
    return SourceError(
        f"The git ref {ref!r} doesn't exist.",
        where=shown,
        fix=f"check --git-ref; known: {known}" if known else "check --git-ref; the repository has no branch yet",
    )


def _uncommitted(local: Path, sub_dir: str) -> tuple[str, ...]:
    if not (local / ".git").exists():
        return ()
    status = _git(["status", "--porcelain", "--", sub_dir or "."], local, str(local), check=False)
    changed = [line[3:] for line in status.stdout.splitlines()] if status.returncode == 0 else []
    if not changed:
        return ()
    return (f"not committed, so not part of this run: {', '.join(changed[:5])}{', ...' if len(changed) > 5 else ''}",)


def _redact(text: str, source: str) -> str:
    return text.replace(source, plain_url(source)) if source != plain_url(source) else text


def _git(
    arguments: list[str], cwd: Path, shown: str, *, check: bool = True, timeout: float = GIT_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": TRANSPORTS, "LC_ALL": "C"}
    # A hook or a worktree's git sets these for its children; here they would point at the wrong repository.
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        environment.pop(name, None)
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout
        )
    except FileNotFoundError as error:
        raise SourceError("Git isn't installed.", where=shown, fix="install git") from error
    except subprocess.TimeoutExpired as error:
        raise SourceError(
            f"Git didn't answer within {timeout:.0f} s.", where=shown, fix="check the network and --git-url"
        ) from error
    if check and done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise SourceError(f"git {arguments[0]} failed: {lines[-1] if lines else done.returncode}", where=shown)
    return done
