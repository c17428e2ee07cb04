"""The doctor: checks everything that the lab needs on a cluster, and says what is wrong, why, and how to fix it.

Each group of findings has one module. The doctor changes nothing on the cluster, except for a probe object in the model
bucket and, where it may start them, probe pods; it deletes both. If this machine can't check something and no pod can,
the result is ``unknown``, never ``ok``: that counts like something broken, unless the check is optional.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import urllib3

from pdk_nb.doctor import (
    clock,
    cluster,
    code,
    determined,
    images,
    kserve,
    machine,
    nodes,
    pachyderm,
    rights,
    route,
    storage,
    versions,
)
from pdk_nb.doctor.context import Context
from pdk_nb.doctor.finding import Finding, Findings, Report
from pdk_shared.errors import PdkError, UsageError

__all__ = ["GROUPS", "Context", "Finding", "Report", "examine"]

# In the order of the walkthrough: later groups need the earlier ones.
GROUPS: dict[str, Callable[[Context], Findings]] = {
    "cluster": cluster.examine,
    "nodes": nodes.examine,
    "pachyderm": pachyderm.examine,
    "determined": determined.examine,
    "kserve": kserve.examine,
    "rights": rights.examine,
    "storage": storage.examine,
    "images": images.examine,
    "code": code.examine,
    "route": route.examine,
    "clock": clock.examine,
    "versions": versions.examine,
    "machine": machine.examine,
}


def examine(context: Context, only: Iterable[str] = (), progress: Callable[[str], None] = lambda line: None) -> Report:
    """Check everything.

    Args:
        context: The cluster.
        only: Groups to check; all when empty.
        progress: Called with each group's name before its checks.

    Raises:
        UsageError: There is no such group.
    """
    chosen = list(only) or list(GROUPS)
    unknown = [name for name in chosen if name not in GROUPS]
    if unknown:
        raise UsageError(f"There is no group '{unknown[0]}'.", where="--only", fix=f"Use one of: {', '.join(GROUPS)}")
    findings: list[Finding] = []
    for name in GROUPS:
        if name in chosen:
            progress(name)
            findings += _group(name, context, findings)
    return Report(findings)


def _group(name: str, context: Context, earlier: Sequence[Finding]) -> list[Finding]:
    """One group's findings; an error that ends the group early also becomes a finding."""
    found: list[Finding] = []
    told = ""
    try:
        if name not in ("cluster", "machine"):
            # Without Kubernetes, the first finding has told why.
            told = next((each.id for each in earlier if each.id == "cluster.api" and each.state == "broken"), "")
            context.need_kubernetes()
            told = ""
        for finding in GROUPS[name](context):
            found.append(finding)
    except PdkError as error:
        # The group that owns the cause reports it; this group could not check anything.
        told = told or next((each.id for each in earlier if error.what in each.what), "")
        what, where, fix = (f"see {told}.", "", "") if told else (error.what, error.where, error.fix)
        found.append(Finding(f"{name}.all", "unknown", f"Can't check it: {what}", where, fix=fix))
    except urllib3.exceptions.HTTPError as error:
        what = f"Can't check it: no answer: {getattr(error, 'reason', None) or error}"
        found.append(Finding(f"{name}.all", "unknown", what, fix="pdk-nb doctor --only cluster"))
    except Exception as error:  # one broken check must not hide the other findings
        what = f"The check failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        found.append(
            Finding(f"{name}.all", "unknown", what, fix="Please report this with the version of the platform.")
        )
    return found
