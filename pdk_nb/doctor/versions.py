"""Compatibility of client and server versions.

Sources: Determined requires a client of the master's release; python-pachyderm 7 speaks the API of Pachyderm 2, and
projects exist since 2.5; the Kubernetes APIs that the lab uses are all ``v1`` since Kubernetes 1.19.
"""

from __future__ import annotations

import importlib.metadata
import re

from pdk_nb import RELEASE
from pdk_nb.doctor.context import Context
from pdk_nb.doctor.determined import master_info
from pdk_nb.doctor.finding import Finding, Findings
from pdk_nb.platforms import mldm
from pdk_shared.errors import PdkError

MIN_PACHYDERM, MIN_KUBERNETES = (2, 5), (1, 19)
WHY = "A client that doesn't match its server fails midway, with a misleading error."


def numbers(text: str) -> tuple[int, ...]:
    """``v1.32.4-gke.1`` as ``(1, 32, 4)``."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def examine(context: Context) -> Findings:
    """All findings of this group."""
    for name, judge in (("kubernetes", _kubernetes), ("pachyderm", _pachyderm), ("determined", _determined)):
        try:
            yield judge(context)
        except PdkError as error:
            yield Finding(f"versions.{name}", "unknown", f"Its version is unknown: {error.what}", error.where, WHY)
    yield from _images(context)


def _kubernetes(context: Context) -> Finding:
    client, (server, _) = importlib.metadata.version("kubernetes"), context.kubernetes_version()
    return judge_minimum("kubernetes", client, server, MIN_KUBERNETES)


def _pachyderm(context: Context) -> Finding:
    server = mldm.version(context.pachyderm)
    return judge_minimum("pachyderm", importlib.metadata.version("python-pachyderm"), server, MIN_PACHYDERM)


def _determined(context: Context) -> Finding:
    server = str(master_info(context, context.settings.master_url).get("version", ""))
    return judge_determined(importlib.metadata.version("determined"), server)


def judge_minimum(name: str, client: str, server: str, minimum: tuple[int, int]) -> Finding:
    """Check that a server is not older than the minimum, and of the same major release."""
    pair = f"client {client}, server {server}"
    found, wanted = numbers(server), ".".join(map(str, minimum))
    if not found:
        return Finding(f"versions.{name}", "unknown", f"The server doesn't give its version ({pair}).", "", WHY)
    if found[:2] < minimum or found[0] != minimum[0]:
        what = f"The lab needs a {name} server of {minimum[0]}.x, {wanted} or newer: {pair}."
        return Finding(f"versions.{name}", "broken", what, "", WHY, f"Upgrade {name} to {wanted} or newer.")
    return Finding(f"versions.{name}", "ok", f"{pair[:1].upper()}{pair[1:]}: they're compatible.")


def judge_determined(client: str, server: str) -> Finding:
    """Client and master should have the same release; another release may lack a call."""
    pair = f"client {client}, master {server}"
    ours, theirs = numbers(client), numbers(server)
    if not theirs:
        return Finding("versions.determined", "unknown", f"The master doesn't give its version ({pair}).", "", WHY)
    if ours[:2] == theirs[:2]:
        return Finding("versions.determined", "ok", f"{pair[:1].upper()}{pair[1:]}: the same release.")
    fix = f"pip install determined=={server}  and build the images with it"
    return Finding("versions.determined", "warning", f"They have different releases: {pair}.", "", WHY, fix)


def _images(context: Context) -> Findings:
    """Pipelines that run another version of the lab than this one."""
    names = context.names
    try:
        present = mldm.images(context.pachyderm, names.project)
    except PdkError:
        return
    for stage, pipeline in (("train", names.train_pipeline), ("deploy", names.deploy_pipeline)):
        tag = present.get(pipeline, "").partition("@")[0].rpartition("/")[2].partition(":")[2]
        # Only version tags can be compared, not digests or dates.
        if re.fullmatch(r"\d+\.\d+\.\d+", tag) and tag != RELEASE:
            what = f"{pipeline} runs version {tag} of the lab, this is {RELEASE}."
            why = "Nodes cache images by tag: to be pulled, a rebuilt image needs a new tag."
            fix = "pdk-nb images build && pdk-nb images push, then pdk-nb run --only 01"
            yield Finding(f"versions.{stage}", "warning", what, present[pipeline], why, fix)
