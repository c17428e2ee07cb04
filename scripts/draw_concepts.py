"""Draw the small pictures of the concepts in the notebooks' sections "Under the bonnet".

python scripts/draw_concepts.py

A file can't know the theme of the page around it. So all text is white on a filled box, and lines have a gray that is
visible on light and dark pages. The color of a box says which platform it belongs to.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdk_nb.display.diagrams.svg import FONT, LETTER, text

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "images"
# White text on each has a contrast of at least 4.5, and each has one of at least 3 with a white and a black page.
PACHYDERM, DETERMINED, KSERVE, PLAIN = "#1f77b4", "#00795a", "#b35000", "#5f6770"
LINE = "#808080"
SIZE, TITLE_SIZE = 12.0, 11.0
# Bold letters are about a tenth wider.
BOLD = 1.1
ROW = 16.0
TITLE_HEIGHT = 18.0


@dataclass(frozen=True)
class Concept:
    """A picture.

    Attributes:
        body: SVG elements.
        width: In pixels.
        height: In pixels.
        description: Alternative text, as in the notebook.
    """

    body: Sequence[str]
    width: float
    height: float
    description: str

    def svg(self) -> str:
        """The file's content."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" height="{self.height:g}" role="img" aria-label="{html.escape(self.description)}" '
            f'font-family="{FONT}">{"".join(self.body)}</svg>\n'
        )


def text_width(content: str, size: float, bold: bool = False) -> float:
    """Estimated width of a line in pixels."""
    return len(content) * LETTER * size * (BOLD if bold else 1)


def box(x: float, y: float, width: float, height: float, color: str, *lines: str) -> str:
    """A filled box with lines of white text, the first one bold."""
    top = y + height / 2 - (len(lines) - 1) * ROW / 2 + 4.5
    said = [
        text(x + width / 2, top + place * ROW, line, size=SIZE, fill="#fff", bold=place == 0)
        for place, line in enumerate(lines)
    ]
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="7" fill="{color}"/>{"".join(said)}'


def label(x: float, y: float, content: str, color: str = PLAIN) -> str:
    """A word or two on a pill around a point."""
    width = text_width(content, TITLE_SIZE) + 16
    left, top = x - width / 2, y - TITLE_HEIGHT / 2
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{TITLE_HEIGHT:g}" rx="9" fill="{color}"/>'
        f"{text(x, y + 4, content, size=TITLE_SIZE, fill='#fff')}"
    )


def group(x: float, y: float, width: float, height: float, color: str, title: str) -> str:
    """A frame with its title on the upper edge."""
    middle = x + 12 + (text_width(title, TITLE_SIZE) + 16) / 2
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="9" fill="{LINE}" fill-opacity="0.1" '
        f'stroke="{color}" stroke-width="2"/>{label(middle, y, title, color)}'
    )


def arrow(*points: tuple[float, float], wide: float = 2, dashed: bool = False) -> str:
    """A line through points, with a tip at the last one."""
    (x1, y1), (x2, y2) = points[-2:]
    right = 0.0 if y1 == y2 else 90.0
    turn = right if (x2, y2) >= (x1, y1) else right + 180
    # The line ends under the tip.
    back = {0.0: (-7.0, 0.0), 90.0: (0.0, -7.0), 180.0: (7.0, 0.0), 270.0: (0.0, 7.0)}[turn]
    way = [*points[:-1], (x2 + back[0], y2 + back[1])]
    line = "M" + "L".join(f"{x:g} {y:g}" for x, y in way)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    half = 4.5 + (wide - 2) / 2
    return (
        f'<path d="{line}" fill="none" stroke="{LINE}" stroke-width="{wide:g}" stroke-linejoin="round"{dash}/>'
        f'<path d="M-8 -{half:g}L0 0L-8 {half:g}Z" fill="{LINE}" '
        f'transform="translate({x2:g} {y2:g}) rotate({turn:g})"/>'
    )


def repo() -> Concept:
    """Repo, commit, and branch."""
    return Concept(
        [
            group(2, 12, 416, 104, PACHYDERM, "repo: versioned files"),
            box(18, 46, 150, 48, PACHYDERM, "commit 1", "400 pictures"),
            arrow((168, 70), (206, 70)),
            box(206, 46, 196, 48, PACHYDERM, "commit 2", "680 pictures, old and new"),
            box(460, 46, 112, 48, PLAIN, "branch", "master"),
            arrow((460, 70), (402, 70)),
        ],
        576,
        120,
        "A repo with two commits. Each commit contains all files of its time: 400 pictures, then 680, old and new. The "
        "branch master points to the newest commit.",
    )


def glob() -> Concept:
    """Glob and datum."""
    folders = ("/data1/cat/", "/data1/dog/", "/data2/cat/")
    columns = (("/", "1 datum", (3,)), ("/*", "2 datums", (2, 1)), ("/*/*", "3 datums", (1, 1, 1)))
    body = []
    for place, (pattern, count, sizes) in enumerate(columns):
        x, first = 2 + place * 200.0, 0
        body.append(group(x, 12, 176, 140, PLAIN, f"glob {pattern}: {count}"))
        for size in sizes:
            top, tall = 32 + first * 38.0, size * 38.0 - 6
            body.append(f'<rect x="{x + 16:g}" y="{top:g}" width="144" height="{tall:g}" rx="7" fill="{PACHYDERM}"/>')
            body += [
                text(x + 88, 52 + row * 38, folders[row], size=SIZE, fill="#fff", bold=True)
                for row in range(first, first + size)
            ]
            first += size
    return Concept(
        body,
        580,
        156,
        "The same three folders under three globs. The first glob, a slash, makes them one datum. The second, with one "
        "star, makes two: one for each top-level folder. The third, with two stars, makes three: one for each folder "
        "on the second level.",
    )


def provenance() -> Concept:
    """The global id, and provenance."""
    names = ("data repo", "output of train", "output of deploy")
    body = [box(2 + place * 222.0, 2, 132, 48, PACHYDERM, name, "commit 3f2a") for place, name in enumerate(names)]
    for place, job in enumerate(("train job", "deploy job")):
        x = 134 + place * 222.0
        body += [arrow((x, 26), (x + 90, 26)), label(x + 42, 26, job)]
        middle = 68 + place * 222.0
        body += [
            arrow((middle + 222 - 12, 50), (middle + 222 - 12, 84), (middle + 12, 84), (middle + 12, 50), dashed=True),
            label(middle + 111, 84, "provenance"),
        ]
    return Concept(
        body,
        580,
        96,
        "A commit in the data repo starts the train job, whose output commit starts the deploy job. All three commits "
        "have the same id, 3f2a. Dashed arrows lead back from each output commit to the one it came from: its "
        "provenance.",
    )


def experiment() -> Concept:
    """Experiment, searcher, trial, and checkpoint policy."""
    body = [
        group(2, 12, 596, 128, DETERMINED, "experiment: configuration and code"),
        box(16, 50, 96, 48, PLAIN, "searcher", "random"),
    ]
    for place, rate in enumerate(("0.01", "0.003")):
        y = 28 + place * 54.0
        body += [
            arrow((112, 74), (128, 74), (128, y + 23), (146, y + 23)),
            box(146, y, 150, 46, DETERMINED, f"trial {place + 1}", f"learning rate {rate}"),
            arrow((296, y + 23), (324, y + 23)),
            box(324, y, 120, 46, DETERMINED, "checkpoint", f"batch {100 + 100 * place}"),
        ]
    body += [
        box(480, 50, 104, 48, PLAIN, "checkpoint", "policy: best"),
        arrow((480, 74), (462, 74), (462, 51), (444, 51)),
        arrow((480, 74), (462, 74), (462, 105), (444, 105)),
    ]
    return Concept(
        body,
        600,
        142,
        "An experiment. Its searcher starts two trials with different learning rates. The checkpoint policy decides "
        "when each trial writes a checkpoint.",
    )


def pool() -> Concept:
    """Resource pool and slots."""
    body = [
        box(2, 43, 130, 48, DETERMINED, "trial 3 waits", "needs 2 slots"),
        arrow((132, 67), (160, 67)),
        group(160, 12, 420, 112, PLAIN, "resource pool"),
    ]
    for place, slots in enumerate((("trial 1", "trial 1"), ("trial 2", "free"))):
        x = 174 + place * 200.0
        body.append(group(x, 42, 192, 70, PLAIN, f"machine {place + 1}"))
        for number, slot in enumerate(slots):
            color = PLAIN if slot == "free" else DETERMINED
            body.append(box(x + 12 + number * 86, 58, 82, 44, color, f"slot {number + 1}", slot))
    return Concept(
        body,
        582,
        128,
        "A resource pool of two machines with two slots each. Trial 1 uses both slots of machine 1, trial 2 one slot "
        "of machine 2. Trial 3 needs two slots and waits, because only one is free.",
    )


def registry() -> Concept:
    """Registry, model, and versions."""
    body = [
        group(2, 12, 330, 134, DETERMINED, "registry"),
        group(16, 40, 302, 96, DETERMINED, "model: dogs-and-cats"),
    ]
    for place, id in enumerate(("3f2a", "9c41")):
        y = 54 + place * 40.0
        body += [
            box(30, y, 274, 34, DETERMINED, f"version {place + 1}: name {id}, metadata"),
            arrow((304, y + 17), (384, y + 17)),
            box(384, y, 196, 34, PLAIN, f"checkpoint of commit {id}"),
        ]
    return Concept(
        body,
        582,
        148,
        "The registry holds a model with two versions. Each version has a name, here the id of a commit, and metadata, "
        "and points to the checkpoint that was trained with this commit.",
    )


def archive() -> Concept:
    """ScriptModule and archive."""
    return Concept(
        [
            box(2, 20, 120, 48, DETERMINED, "checkpoint", "weights"),
            box(2, 84, 120, 48, PLAIN, "Python class", "of the model"),
            arrow((122, 44), (142, 44), (142, 76), (160, 76)),
            arrow((122, 108), (142, 108), (142, 76), (160, 76)),
            box(160, 52, 160, 48, KSERVE, "ScriptModule", "runs without the class"),
            arrow((320, 76), (344, 76)),
            group(344, 12, 240, 128, KSERVE, "archive: a zip file (.mar)"),
            box(358, 30, 212, 30, KSERVE, "ScriptModule"),
            box(358, 66, 212, 30, KSERVE, "handler: request ↔ tensor"),
            box(358, 102, 212, 30, KSERVE, "class names: 0 = dog, …"),
        ],
        586,
        144,
        "A checkpoint's weights and the model's Python class become a ScriptModule, which runs without the class. The "
        "archive is a zip file with the ScriptModule, the handler, and the class names.",
    )


def traffic() -> Concept:
    """Predictor, revision, and traffic."""
    return Concept(
        [
            group(226, 12, 356, 136, KSERVE, "InferenceService"),
            group(240, 38, 328, 100, KSERVE, "predictor: TorchServe"),
            box(2, 68, 92, 48, PLAIN, "requests", "100%"),
            arrow((94, 92), (106, 92), (106, 70), (254, 70), wide=6),
            arrow((94, 92), (106, 92), (106, 114), (254, 114), wide=2),
            label(166, 70, "traffic 75%"),
            label(166, 114, "traffic 25%"),
            box(254, 52, 300, 36, KSERVE, "revision 1: archive of version 1"),
            box(254, 96, 300, 36, KSERVE, "revision 2: archive of version 2"),
        ],
        584,
        150,
        "An InferenceService with its predictor. The predictor has two revisions, each with the archive of one "
        "version. Three quarters of the requests go to revision 1, one quarter to revision 2.",
    )


CONCEPTS: dict[str, Callable[[], Concept]] = {
    "repo": repo,
    "glob": glob,
    "provenance": provenance,
    "experiment": experiment,
    "pool": pool,
    "registry": registry,
    "archive": archive,
    "traffic": traffic,
}


def main() -> None:
    """Write all pictures."""
    for name, drawn in CONCEPTS.items():
        (FOLDER / f"concept-{name}.svg").write_text(drawn().svg())


if __name__ == "__main__":
    main()
