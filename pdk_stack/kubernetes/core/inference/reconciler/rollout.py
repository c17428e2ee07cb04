"""A service's persistent rollout state, and KServe's rules for splitting its traffic.

Source of the rules: ``pkg/controller/v1beta1/inferenceservice/reconcilers/knative/ksvc_reconciler.go`` and
``PropagateStatus`` of KServe v0.13.1.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from pdk_stack.common.service import write_private
from pdk_stack.kubernetes.core.inference.reconciler.status import Share


@dataclasses.dataclass
class Rollout:
    """Rollout state of a service's revisions.

    Attributes:
        path: The file.
        uid: Uid of the service.
        count: Number of the newest revision.
        key: Key of the newest revision.
        ready: Name of the latest ready revision.
        rolled: The last revision that had all traffic.
        previous: The one before ``rolled``.
        failed: Key of the newest revision, if it failed.
        failed_name: Name of the failed revision.
        failure: Why it failed.
        reason: One-word reason.
        exit_code: Exit code of its process.
        origins: Spec and metadata of the revisions on disk.
    """

    path: Path
    uid: str = ""
    count: int = 0
    key: str = ""
    ready: str = ""
    rolled: str = ""
    previous: str = ""
    failed: str = ""
    failed_name: str = ""
    failure: str = ""
    reason: str = ""
    exit_code: int = 1
    origins: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Rollout:
        """Read the state; empty when the file doesn't exist."""
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError):
            return cls(path)
        known = {each.name for each in dataclasses.fields(cls)} - {"path"}
        return cls(path, **{name: value for name, value in content.items() if name in known})

    def save(self, **changes: Any) -> None:
        """Change fields, and write the file if anything changed."""
        if all(getattr(self, name) == value for name, value in changes.items()):
            return
        for name, value in changes.items():
            setattr(self, name, value)
        content = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "path"}
        write_private(self.path, json.dumps(content))

    def reset(self, uid: str) -> None:
        """Reset the state for a new object."""
        self.save(uid=uid, count=0, key="", ready="", rolled="", previous="", failed="", failed_name="", origins={})

    def newest(self, service: str) -> str:
        """Return the name of the newest revision."""
        return f"{service}-predictor-{self.count:05d}"

    def shares(self, predictor: dict[str, Any]) -> tuple[Share, ...]:
        """Return the traffic percentage of each revision.

        Args:
            predictor: ``spec.predictor``; without ``canaryTrafficPercent`` the latest ready revision gets all.
        """
        if not self.ready:
            return ()
        canary = predictor.get("canaryTrafficPercent")
        # A canary that had all traffic is reduced again: return to the revision before it.
        base = self.previous if self.ready == self.rolled else self.rolled
        if canary is None or canary >= 100 or not base or base == self.ready:
            return (Share(self.ready, 100),)
        return (Share(self.ready, int(canary)), Share(base, 100 - int(canary), "prev"))

    def settle(self, predictor: dict[str, Any]) -> None:
        """Record which revision is rolled out, after the traffic split is applied."""
        shares = self.shares(predictor)
        if len(shares) == 1 and self.rolled != self.ready:
            self.save(previous=self.rolled, rolled=self.ready)
        elif len(shares) == 2:
            self.save(rolled=shares[1].revision)
