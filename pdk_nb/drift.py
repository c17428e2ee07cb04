"""Drift: how the pictures of a new arrival differ from those that a model was trained with.

The measures need no model: brightness, size, class shares, and *novelty*, the distance of a picture to its nearest
neighbor among the old ones. Distances are those of small descriptors: a thumbnail's brightness, its contours, and its
colors. They don't say what a picture shows, but whether something like it has been there before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pdk_nb.photos import load_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pdk_nb.display.charts import Chart

__all__ = ["Drift", "Measured", "compare", "measure"]

# Side of the thumbnail that a descriptor is made from, in pixels.
SIDE = 12
# The distance that this share of the old pictures keep to their nearest neighbors; beyond it, a picture is novel.
USUAL = 0.95
# Shifts that are worth a word: of brightness (0 to 255), of the share of a class, and of the share of novel pictures.
BRIGHTER, SHARE, NOVEL = 15.0, 0.1, 0.15


@dataclass(frozen=True)
class Measured:
    """The measures of an arrival's pictures.

    Attributes:
        name: The arrival's name.
        classes: The class of each picture.
        brightness: Mean gray of each picture, 0 to 255; shape (n,).
        side: Longer side of each picture in pixels; shape (n,).
        descriptor: Shape (n, d).
    """

    name: str
    classes: tuple[str, ...]
    brightness: NDArray[np.float32]
    side: NDArray[np.float32]
    descriptor: NDArray[np.float32]

    def share(self, name: str) -> float:
        """Share of a class."""
        return Counter(self.classes)[name] / max(1, len(self.classes))


def measure(name: str, pictures: Sequence[tuple[Path, str]]) -> Measured:
    """Measure pictures.

    Args:
        name: The arrival's name.
        pictures: Files with their classes.

    Raises:
        DataError: A picture can't be read.
    """
    brightness, side, descriptors = [], [], []
    for path, _ in pictures:
        image = load_image(path)
        side.append(max(image.size))
        values = np.asarray(image.convert("RGB").resize((SIDE, SIDE)), dtype=np.float32)
        gray = values.mean(axis=2)
        brightness.append(gray.mean())
        descriptors.append(_descriptor(values / 255, gray / 255))
    return Measured(
        name,
        tuple(label for _, label in pictures),
        np.asarray(brightness, dtype=np.float32),
        np.asarray(side, dtype=np.float32),
        np.asarray(descriptors, dtype=np.float32).reshape(len(descriptors), -1 if descriptors else 0),
    )


def _descriptor(values: NDArray[np.float32], gray: NDArray[np.float32]) -> NDArray[np.float32]:
    contours = [np.abs(np.diff(gray, axis=axis)).ravel() for axis in (0, 1)]
    saturation = values.max(axis=2) - values.min(axis=2)
    return np.concatenate([gray.ravel(), *contours, saturation.ravel()])


@dataclass(frozen=True)
class Drift:
    """How a new arrival differs from the old one.

    Attributes:
        old: The pictures that the model knows.
        new: The new ones.
        usual: Distance of each old picture to its nearest other old one; shape (n_old,).
        novelty: Distance of each new picture to its nearest old one; shape (n_new,).
    """

    old: Measured
    new: Measured
    usual: NDArray[np.float32]
    novelty: NDArray[np.float32]

    @property
    def limit(self) -> float:
        """The distance beyond which a picture is novel: 5% of the old ones are farther from each other."""
        return float(np.quantile(self.usual, USUAL)) if len(self.usual) else 0.0

    @property
    def novel(self) -> float:
        """Share of the new pictures that are novel; about 0.05 without drift."""
        return float((self.novelty > self.limit).mean()) if len(self.novelty) else 0.0

    def shifted(self) -> list[str]:
        """What has shifted, in words; empty without drift."""
        found: list[str] = []
        if not (self.old.classes and self.new.classes):
            return found
        difference = float(np.median(self.new.brightness) - np.median(self.old.brightness))
        spread = float(self.new.brightness.std() / max(1.0, float(self.old.brightness.std())))
        if abs(difference) > BRIGHTER:
            word = "brighter" if difference > 0 else "darker"
            found.append(f"the pictures are {word} (median {difference:+.0f} of 255)")
        if spread > 1.5:
            found.append(f"their brightness varies {spread:.1f} times as much")
        ratio = float(np.median(self.new.side) / max(1.0, float(np.median(self.old.side))))
        if not 0.67 < ratio < 1.5:
            found.append(f"they are {ratio:.1f} times as large")
        for name in sorted({*self.old.classes, *self.new.classes}):
            if abs(self.new.share(name) - self.old.share(name)) > SHARE:
                found.append(f"{name} makes up {self.new.share(name):.0%} instead of {self.old.share(name):.0%}")
        if self.novel > NOVEL:
            found.append(f"{self.novel:.0%} resemble nothing in {self.old.name} (5% would be usual)")
        return found

    def __str__(self) -> str:
        found = self.shifted()
        if not found:
            return f"No drift: {self.new.name} resembles {self.old.name}."
        return f"Drift from {self.old.name} to {self.new.name}: {'; '.join(found)}."

    __repr__ = __str__

    def chart(self) -> Chart:
        """All four measures, old against new."""
        from pdk_nb.display import charts  # its drawing library takes a while to load

        return charts.distributions(
            self._measures(),
            {name: (self.old.share(name), self.new.share(name)) for name in self._classes()},
            (self.old.name, self.new.name),
            self.description(),
        )

    def description(self) -> str:
        """Alternative text of the chart: its numbers, because the sentence about them stands below it."""
        said = [
            f"median {title} {np.median(old):.3g} and {np.median(new):.3g}"
            for title, (old, new) in self._measures().items()
            if len(old) and len(new)
        ]
        said += [
            f"share of {name} {self.old.share(name):.0%} and {self.new.share(name):.0%}" for name in self._classes()
        ]
        return f"{self.old.name} and {self.new.name} compared: {'; '.join(said) or 'no pictures'}."

    def _measures(self) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        return {
            "brightness": (self.old.brightness, self.new.brightness),
            "longer side in pixels": (self.old.side, self.new.side),
            "distance to the nearest old picture": (self.usual, self.novelty),
        }

    def _classes(self) -> list[str]:
        return list(dict.fromkeys([*self.old.classes, *self.new.classes]))


def compare(old: Measured, new: Measured) -> Drift:
    """Compare a new arrival with an old one.

    Args:
        old: The pictures that the model knows.
        new: The new ones.
    """
    usual = novelty = np.zeros(0, dtype=np.float32)
    if len(old.classes) > 1:
        among = _distances(old.descriptor, old.descriptor)
        np.fill_diagonal(among, np.inf)
        usual = among.min(axis=1)
    if old.classes and new.classes:
        novelty = _distances(new.descriptor, old.descriptor).min(axis=1)
    return Drift(old, new, usual, novelty)


def _distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Euclidean distances, shape (n_a, n_b), without an array of all differences."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2 * a @ b.T
    distances: NDArray[np.float32] = np.sqrt(np.maximum(squares, 0)).astype(np.float32)
    return distances
