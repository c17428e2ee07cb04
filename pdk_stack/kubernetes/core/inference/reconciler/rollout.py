"""What a service remembers between restarts, and how KServe shares its traffic out.

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
    """A service's revisions.

    Attributes:
        path: Where it is kept.
        uid: The object that it belongs to.
        count: Number of the newest revision.
        key: What the newest revision was made from.
        ready: Name of the latest revision that was ready.
        rolled: The last one that had all of the traffic.
        previous: The one that had it before.
        failed: Key of the newest revision, if it failed.
        failed_name: Its name.
        failure: Why it failed.
        reason: The same in one word.
        exit_code: How its process ended.
        origins: Spec and metadata of the revisions that are kept on disk.
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
        """Read it; an empty one when there is none."""
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError):
            return cls(path)
        known = {each.name for each in dataclasses.fields(cls)} - {"path"}
        return cls(path, **{name: value for name, value in content.items() if name in known})

    def save(self, **changes: Any) -> None:
        """Change fields and write the file; nothing is written when nothing changes."""
        if all(getattr(self, name) == value for name, value in changes.items()):
            return
        for name, value in changes.items():
            setattr(self, name, value)
        content = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "path"}
        write_private(self.path, json.dumps(content))

    def reset(self, uid: str) -> None:
        """Start anew for another object."""
        self.save(uid=uid, count=0, key="", ready="", rolled="", previous="", failed="", failed_name="", origins={})

    def newest(self, service: str) -> str:
        """Name of the newest revision."""
        return f"{service}-predictor-{self.count:05d}"

    def shares(self, predictor: dict[str, Any]) -> tuple[Share, ...]:
        """Which revision gets how much.

        Args:
            predictor: ``spec.predictor``; without ``canaryTrafficPercent`` the latest ready revision gets all.
        """
        if not self.ready:
            return ()
        canary = predictor.get("canaryTrafficPercent")
        # A canary that had everything and is turned down again: back to the one before it.
        base = self.previous if self.ready == self.rolled else self.rolled
        if canary is None or canary >= 100 or not base or base == self.ready:
            return (Share(self.ready, 100),)
        return (Share(self.ready, int(canary)), Share(base, 100 - int(canary), "prev"))

    def settle(self, predictor: dict[str, Any]) -> None:
        """Remember who has been rolled out, after the shares were given."""
        shares = self.shares(predictor)
        if len(shares) == 1 and self.rolled != self.ready:
            self.save(previous=self.rolled, rolled=self.ready)
        elif len(shares) == 2:
            self.save(rolled=shares[1].revision)
