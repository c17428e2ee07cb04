"""Log policies: what a line of a trial's output says about the trial.

Source: ``master/internal/logpattern/logpattern.go`` and ``handleAllocationExit`` in ``master/internal/trial.go``.
"""

from __future__ import annotations

import logging
import re
import threading
from typing import Any

from pdk_stack.determined.core.trials.launch import AGENT_ID

__all__ = ["LogPolicies"]

log = logging.getLogger(__name__)

#: The trial prints its configuration, which contains the patterns.
_CONFIG = re.compile(r'"log_policies":')


class LogPolicies:
    """Watches the output of one run.

    Args:
        policies: The configuration's ``log_policies``.
    """

    def __init__(self, policies: list[dict[str, Any]]) -> None:
        self._lock = threading.Lock()
        self._rules: list[tuple[dict[str, Any], re.Pattern[str]]] = []
        #: The newest matched policy that has a name.
        self.matched: str | None = None
        #: The first line that matched a pattern, by action and pattern.
        self.triggers: dict[str, dict[str, str]] = {"cancel_retries": {}, "exclude_node": {}}
        for policy in policies:
            try:
                self._rules += [(policy, re.compile(policy["pattern"]))] if policy.get("pattern") else []
            except re.error as error:
                # Go knows other patterns. The master logs the error, and the policy never matches.
                log.warning("compiling regex '%s': %s", policy["pattern"], error)

    def watch(self, line: str) -> list[str]:
        """Look at a line of output; return what the master adds to the log because of it."""
        if _CONFIG.search(line):
            return []
        added = []
        for policy, pattern in self._rules:
            if not pattern.search(line):
                continue
            with self._lock:
                self.matched = policy.get("name") or self.matched
                seen = self.triggers.get(policy.get("action", ""))
                if seen is None or pattern.pattern in seen:
                    continue
                seen[pattern.pattern] = line
            if policy["action"] == "exclude_node":
                added.append(
                    f"(log '{_quoted(line)}' matched regex {pattern.pattern}) therefore will not schedule on {AGENT_ID}"
                )
        return added

    def no_retry(self) -> list[str]:
        """Return what the log says when a failed trial isn't restarted; empty when it may be."""
        with self._lock:
            found = list(self.triggers["cancel_retries"].items())
        if not found:
            return []
        lines = [f"(log {_quoted(line)} matched regex {_quoted(pattern)})" for pattern, line in found]
        return ["trial failed and matched logs to a don't retry policy", *lines]

    @property
    def excludes_node(self) -> bool:
        """Whether the trial may not run on this machine again."""
        with self._lock:
            return bool(self.triggers["exclude_node"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
