"""The experiment's code: the repository that the train stage clones."""

from __future__ import annotations

from pdk_nb import specs
from pdk_nb.doctor.context import Context
from pdk_nb.doctor.finding import Finding, Findings, State
from pdk_nb.stages import source
from pdk_shared.errors import PdkError

PLACEHOLDER = "your-org"
OFFLINE = ("resolve host", "didn't answer", "Failed to connect", "timed out", "Connection")


def examine(context: Context) -> Findings:
    """All findings of this group."""
    params = specs.params_for(context.settings, context.names.example)
    url, ref = params.git_url, params.git_ref
    why = "The train stage clones it for each commit; only pushed code trains."
    fix = context.set_values(git_url="https://.../your-fork.git", git_ref="main")
    if PLACEHOLDER in url:
        what = "pdk-config names no repository for the code; the train stage would clone the example's placeholder."
        yield Finding("code.repository", "broken", what, url, why, fix)
        return
    try:
        sha = source.look_up(url, ref)
    except PdkError as error:
        # The pods may reach a network that this machine can't reach.
        offline = any(word in error.what for word in OFFLINE)
        ask = f"git ls-remote {source.plain_url(url)}  from a pod of the cluster"
        state: State = "unknown" if offline else "broken"
        yield Finding("code.repository", state, error.what, source.plain_url(url), why, ask if offline else fix)
        return
    what = (
        f"{ref or 'The default branch'} is {sha[:12]}."
        if sha
        else "It's a folder without git history; the train stage copies it."
    )
    yield Finding("code.repository", "ok", what, source.plain_url(url))
