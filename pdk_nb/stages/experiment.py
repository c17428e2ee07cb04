"""An experiment's configuration and context directory, made from the fetched code for one job."""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import pdk_nb
from pdk_nb.labels import LabelRule, parse_classes
from pdk_nb.platforms.mlde import Pool
from pdk_shared.errors import SettingsError, SpecError

__all__ = [
    "HANDLER_FOLDER",
    "PachydermBlock",
    "build_context",
    "check",
    "classes_of",
    "fill",
    "merge",
    "profile_for",
    "read_yaml",
    "with_classes",
    "with_profile",
]

#: Where the handler is in a checkpoint's code.
HANDLER_FOLDER = "handler"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 with the floats of YAML 1.2: ``1e-4`` is a number, not a string."""


_Loader.yaml_implicit_resolvers = {key: list(value) for key, value in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.\d+|\d+(\.\d*)?)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path, shown: str = "") -> dict[str, Any]:
    """Read a YAML mapping.

    Args:
        path: The file.
        shown: How to name it in errors; its path by default.

    Raises:
        SpecError: It is missing, not YAML (with line and column), or no mapping.
    """
    shown = shown or str(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        there = ", ".join(sorted(p.name for p in path.parent.glob("*.y*ml"))) if path.parent.is_dir() else ""
        raise SpecError(
            f"The configuration can't be read: {error.strerror}",
            where=shown,
            fix=f"check --config and --sub-dir; here are: {there or 'no YAML files'}",
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{shown}:{mark.line + 1}:{mark.column + 1}" if mark else shown
        raise SpecError(f"The configuration isn't YAML: {error.problem or error.context}", where=place) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"The configuration isn't YAML: {error}", where=shown) from error
    if not isinstance(content, dict):
        raise SpecError("The configuration isn't a mapping.", where=f"{shown}:1:1")
    return content


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` laid over it: mappings are merged, everything else is replaced."""
    result = copy.deepcopy(dict(base))
    for key, value in over.items():
        known = result.get(key)
        result[key] = (
            merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else copy.deepcopy(value)
        )
    return result


def profile_for(folder: Path, wanted: str, pool: Pool) -> str:
    """The profile to lay over the configuration.

    Args:
        folder: The experiment's folder.
        wanted: ``auto``, or a file name in ``profiles/`` without its suffix.
        pool: The resource pool; ``auto`` follows it.

    Returns:
        The profile's name, or an empty text where the experiment has none.

    Raises:
        SpecError: The wanted profile does not exist.
    """
    known = sorted(path.stem for path in (folder / "profiles").glob("*.yaml"))
    name = ("gpu" if pool.has_gpu else "cpu") if wanted == "auto" else wanted
    if name in known:
        return name
    if wanted == "auto":
        return ""
    raise SpecError(
        f"The experiment has no profile {wanted!r}.",
        where="--profile",
        fix=f"choose one of: {', '.join(known) or 'none'}",
    )


def with_profile(config: Mapping[str, Any], folder: Path, wanted: str, pool: Pool) -> tuple[dict[str, Any], str]:
    """The configuration with a profile laid over it, and the profile's name; arguments as of :func:`profile_for`.

    Raises:
        SpecError: The wanted profile does not exist, or cannot be read.
    """
    name = profile_for(folder, wanted, pool)
    over = read_yaml(folder / "profiles" / f"{name}.yaml", f"profiles/{name}.yaml") if name else {}
    return merge(config, over), name


@dataclass(frozen=True)
class PachydermBlock:
    """What a trial needs to fetch its data; ``token`` is secret."""

    host: str
    port: str
    project: str
    repo: str
    branch: str
    token: str = ""
    previous_commit: str = ""

    def __repr__(self) -> str:
        return f"PachydermBlock({self.project}/{self.repo}@{self.branch} at {self.host}:{self.port})"


def fill(
    config: Mapping[str, Any],
    block: PachydermBlock,
    *,
    labels: list[str],
    pool: str,
    workspace: str = "",
    project: str = "",
    warm_start: str = "",
) -> dict[str, Any]:
    """The configuration for one job.

    Args:
        config: As read from the experiment's folder.
        block: Goes to ``data.pachyderm``; its token goes to ``data.secrets.pachyderm_token`` where the configuration
            has that key (Determined masks it in logs), else to ``data.pachyderm.token`` as in the PDK examples.
        labels: Job id, pipeline, repo: how the experiment is found again.
        pool: Resource pool.
        workspace: Overrides the configuration's.
        project: Overrides the configuration's.
        warm_start: Checkpoint uuid to start from; empty for a fresh start.
    """
    data = config.get("data") or {}
    masked = isinstance(data.get("secrets"), dict) and "pachyderm_token" in data["secrets"]
    pachyderm = {
        "host": block.host,
        "port": block.port,
        "repo": block.repo,
        "branch": block.branch,
        "token": "" if masked else block.token,
        "previous_commit": block.previous_commit or None,
        "project": block.project,
    }
    over: dict[str, Any] = {"data": {"pachyderm": pachyderm}, "labels": labels, "resources": {"resource_pool": pool}}
    if masked:
        over["data"]["secrets"] = {"pachyderm_token": block.token}
    if workspace:
        over["workspace"] = workspace
    if project:
        over["project"] = project
    if warm_start:
        over["searcher"] = {"source_checkpoint_uuid": warm_start}
    return merge({**config, "data": data, "resources": config.get("resources") or {}}, over)


def with_classes(config: Mapping[str, Any], named: str) -> dict[str, Any]:
    """The configuration with other classes.

    Args:
        config: The experiment's configuration.
        named: Class names, separated by commas; the configuration's own when empty.

    Raises:
        DataError: The names can't be told apart.
    """
    own = {"data": {"classes": list(LabelRule(parse_classes(named)).classes)}} if named else {}
    return merge(config, own)


def classes_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names in a configuration, in the order of the model's outputs."""
    return tuple(str(name) for name in (config.get("data") or {}).get("classes") or ())


def check(config: Mapping[str, Any], pool: Pool, shown: str) -> None:
    """Refuse a configuration that Determined would refuse later, or keep in its queue forever.

    Raises:
        SpecError: A part is missing.
        SettingsError: The pool is too small.
    """
    for key in ("name", "entrypoint", "searcher", "hyperparameters"):
        if not config.get(key):
            raise SpecError(
                f"The experiment's configuration has no {key!r}.", where=shown, fix=f"add {key}: to the file"
            )
    metric = (config.get("searcher") or {}).get("metric")
    if not metric:
        raise SpecError("The experiment's configuration has no searcher.metric.", where=shown)
    slots = int((config.get("resources") or {}).get("slots_per_trial") or 1)
    if pool.slots and slots > pool.slots:
        raise SettingsError(
            f"The experiment needs {slots} slots per trial; the resource pool {pool.name!r} has {pool.slots}.",
            where=f"{shown}: resources.slots_per_trial",
            fix="lower slots_per_trial or use a larger pool; otherwise, the experiment waits forever",
        )


def build_context(folder: Path, into: Path, modules: Sequence[str], handler: Path | None = None) -> Path:
    """The folder that goes to Determined: the experiment's files, and the light modules of this package.

    Args:
        folder: The experiment's folder.
        into: A folder that does not exist yet.
        modules: Modules of this package that travel with the experiment, as paths.
        handler: A TorchServe handler that travels, too: the deploy stage finds it in the checkpoint.
    """
    ignore = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")
    shutil.copytree(folder, into, ignore=ignore)
    # An experiment that has modules of these names keeps its own.
    existing = {name for name in ("pdk_nb", "pdk_shared") if (into / name).exists()}
    source = Path(pdk_nb.__file__).parents[1]
    for module in modules:
        if module.split("/")[0] not in existing:
            (into / module).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / module, into / module)
    if handler is not None:
        (into / HANDLER_FOLDER).mkdir(exist_ok=True)
        shutil.copyfile(handler, into / HANDLER_FOLDER / handler.name)
    return into
