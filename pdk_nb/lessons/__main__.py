"""Write the exercises' solutions into ``docs/instructor.md``: ``python -m pdk_nb.lessons``."""

from __future__ import annotations

from pathlib import Path

from pdk_nb.lessons import EXERCISES
from pdk_shared.checkout import find_checkout

BEGIN, END = "<!-- exercises: begin -->", "<!-- exercises: end -->"


def solutions() -> str:
    """All exercises with their solutions, as Markdown."""
    parts = []
    for each in EXERCISES.values():
        code = f"```python\n{each.solution}\n```"
        parts.append(
            f"### {each.name}\n\n**{each.kind}.** {each.question}\n\n*Hint:* {each.hint}\n\n{code}\n\n{each.why}\n"
        )
    return "\n".join(parts)


def insert(document: str) -> str:
    """Replace the part of the document between the two markers."""
    head, _, rest = document.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{solutions()}\n{END}{tail}"


def main(path: Path | None = None) -> None:
    """Update the document."""
    path = path or find_checkout() / "docs" / "instructor.md"
    path.write_text(insert(path.read_text()))


if __name__ == "__main__":
    main()
