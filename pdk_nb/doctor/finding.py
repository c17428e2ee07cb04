"""What the doctor reports: one finding for each check."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from pdk_nb.display.tables import STATE_COLOURS, Note

State = Literal["ok", "warning", "broken", "unknown"]
# The most important state first.
STATES: tuple[State, ...] = ("broken", "unknown", "warning", "ok")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        id: ``<group>.<name>``.
        state: ``ok`` (also for what a notebook creates later); ``warning`` (the lab works, but not as it should);
            ``broken`` (something the lab needs does not work); ``unknown`` (cannot be checked from here).
        what: The result, one sentence.
        where: Address or object.
        why: Why it matters; empty when it's ok.
        fix: The command that fixes it, or that shows more when this machine can't check it.
        optional: Whether the lab runs without this check, so that it doesn't count if it can't be made. Only checks
            that need an administrator's rights are optional.
    """

    id: str
    state: State
    what: str
    where: str = ""
    why: str = ""
    fix: str = ""
    optional: bool = False

    @property
    def group(self) -> str:
        """The group that it belongs to."""
        return self.id.split(".", 1)[0]

    @property
    def is_unchecked(self) -> bool:
        """Whether something that the lab needs couldn't be checked."""
        return self.state == "unknown" and not self.optional


Findings = Iterator[Finding]


class Report(Sequence[Finding]):
    """All findings of one examination; displays itself in a notebook and in a terminal.

    Args:
        findings: The findings, in order.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self.findings[index]

    def count(self, state: object) -> int:
        """The number of findings with a state."""
        return sum(each.state == state for each in self.findings)

    @property
    def exit_code(self) -> int:
        """1 when something is broken, or when something that the lab needs couldn't be checked; else 0.

        Warnings keep it at 0, and so do optional checks.
        """
        return 1 if self.count("broken") or any(each.is_unchecked for each in self.findings) else 0

    def summary(self) -> str:
        """One line with the number of findings in each state."""
        optional = sum(each.state == "unknown" and each.optional for each in self.findings)
        counts = {state: f"{self.count(state)} {state}" for state in STATES if self.count(state)}
        if optional:
            counts["unknown"] += f" ({optional} optional)"
        return ", ".join(counts.values())

    def as_json(self) -> str:
        """The report as one line of JSON."""
        counts = {state: self.count(state) for state in STATES}
        findings = [{**asdict(each), "group": each.group} for each in self.findings]
        return json.dumps({"broken": bool(self.exit_code), "counts": counts, "findings": findings})

    def __str__(self) -> str:
        lines = []
        for each in self.findings:
            lines.append(f"{each.state:<8} {each.id:<20} {each.what}" + (f" ({each.where})" if each.where else ""))
            lines += [f"{'':<29} {label}: {text}" for label, text in (("why", each.why), ("fix", each.fix)) if text]
        return "\n".join([*lines, self.summary()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        calm = [each for each in self.findings if each.state == "ok"]
        loud = [each for each in self.findings if each.state != "ok"]
        parts = [f"<p><b>{html.escape(self.summary())}</b></p>"]
        for state in STATES[:-1]:
            for each in loud:
                if each.state == state:
                    place = f" ({each.where})" if each.where else ""
                    text = f"{each.id}: {each.what}{place} {each.why}".strip()
                    parts.append(Note(each.state, text, each.fix)._repr_html_())
        rows = "".join(
            f"<li><b style='color:{STATE_COLOURS['ok']}'>ok</b> {html.escape(each.id)}: {html.escape(each.what)}</li>"
            for each in calm
        )
        return "".join(parts) + f"<ul style='list-style:none;padding-left:0.8em'>{rows}</ul>"
