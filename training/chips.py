"""Labelled face chips: reading the sets from their archives, and augmenting batches.

A set is `NAME.tar` with 112 x 112 WebP chips and `NAME.csv` with a row for each. All
chips are aligned in the same geometry. Ages are kept as ranges: an exact age is a range
of no width, so that one loss serves both sets.
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from errors import StreamError

CHIP_SIZE = 112
SETS = ("fairface", "utkface")
SPLITS = ("train", "test")
# "70 and over" needs an upper end; nobody in the sets is known to be older than this.
OLDEST_YEARS = 100.0

_FAIRFACE_RACES = {
    "White": 0,
    "Black": 1,
    "East Asian": 2,
    "Southeast Asian": 2,
    "Indian": 3,
    "Latino_Hispanic": 4,
    "Middle Eastern": 4,
}
_FAIRFACE_GENDERS = {"Male": 0.0, "Female": 1.0}


class ChipsError(StreamError):
    """A chip set is unknown, missing or damaged."""


@dataclass(frozen=True, slots=True)
class Chips:
    """Chips with their labels; row i of each array belongs to chip i.

    Attributes:
        images: `(N, 112, 112, 3)` uint8, RGB.
        age_low: `(N,)` float32, youngest age in years that the label allows.
        age_high: `(N,)` float32, oldest such age; equal to `age_low` where it is exact.
        female: `(N,)` float32, 0 for male and 1 for female.
        race: `(N,)` int64, index into `structures.ETHNICITIES`.
    """

    images: NDArray[np.uint8]
    age_low: NDArray[np.float32]
    age_high: NDArray[np.float32]
    female: NDArray[np.float32]
    race: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of chips."""
        return len(self.images)

    def take(self, rows: NDArray[np.int64]) -> Chips:
        """Returns the chips of `rows` `(M,)` int64, in that order, as copies."""
        return Chips(*(values[rows] for values in self._columns()))

    def _columns(self) -> tuple[Any, ...]:
        return self.images, self.age_low, self.age_high, self.female, self.race


def age_interval(age_min: str, age_max: str) -> tuple[float, float]:
    """Parses a FairFace age range, such as ("20", "29"), into years.

    An empty `age_max` means "and over" and becomes `OLDEST_YEARS`.

    Raises:
        ValueError: The texts are no whole numbers in ascending order.
    """
    low = float(int(age_min))
    high = float(int(age_max)) if age_max.strip() else OLDEST_YEARS
    if not 0 <= low <= high:
        raise ValueError(f"want an ascending age range, got {age_min!r}..{age_max!r}")
    return low, high


def load_chips(folder: Path, name: str, split: str, limit: int | None = None) -> Chips:
    """Reads one split of one set into memory (37 kB a chip).

    Args:
        folder: Holds `NAME.tar` and `NAME.csv`.
        name: One of `SETS`.
        split: One of `SPLITS`, as in the column of the csv.
        limit: Take only the first so many rows, for trials.

    Raises:
        ChipsError: The set is unknown, a file is missing, or a row or chip is damaged.
    """
    if name not in SETS or split not in SPLITS:
        raise ChipsError(f"no chips {name!r} {split!r}; sets are {', '.join(SETS)}")
    table, archive = folder / f"{name}.csv", folder / f"{name}.tar"
    for path in (folder, table, archive):
        if not path.exists():
            raise ChipsError(f"no such file or folder: {path}")
    try:
        with table.open(newline="", encoding="utf-8") as lines:
            rows = [row for row in csv.DictReader(lines) if row["split"] == split][:limit]
        labels = np.array([_label(name, row) for row in rows], np.float32).reshape(-1, 4)
        images = _read_images(archive, [row["file"] for row in rows])
    except (KeyError, ValueError, OSError, tarfile.TarError) as error:
        raise ChipsError(f"cannot read {name} in {folder}: {error}") from error
    low, high, female, race = labels.T.copy()
    return Chips(images, low, high, female, race.astype(np.int64))


def join(parts: Sequence[Chips]) -> Chips:
    """Joins sets one behind the other; `parts` must not be empty."""
    if len(parts) == 1:
        return parts[0]
    return Chips(*(np.concatenate(c) for c in zip(*(p._columns() for p in parts), strict=True)))


def years_outside(
    years: NDArray[np.floating], low: NDArray[np.floating], high: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Years, `(N,)`, by which ages lie outside their ranges `low`..`high`; 0 within.

    For an exact label, a range of no width, that is the absolute error.
    """
    return np.maximum(0, np.maximum(low - years, years - high))


def shrink(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resizes chips `(N, S, S, 3)` to `(N, size, size, 3)`, averaging pixels."""
    out = np.empty((len(images), size, size, 3), np.uint8)
    for i, image in enumerate(images):
        cv2.resize(image, (size, size), dst=out[i], interpolation=cv2.INTER_AREA)
    return out


def augment(
    images: NDArray[np.uint8], size: int, rng: np.random.Generator, strength: float = 1.0
) -> NDArray[np.uint8]:
    """Makes one random variant of every chip: pose, light, colour, resolution, noise.

    The whole similarity, flip and resize is one warp; light and colour are one matrix.

    Args:
        images: `(N, S, S, 3)` uint8, RGB; not changed.
        size: Side of the result in pixels.
        rng: Source of all chance.
        strength: Multiplies spreads and probabilities (not the flip); 0 leaves the chip.

    Returns:
        `(N, size, size, 3)` uint8, RGB.
    """
    out = np.empty((len(images), size, size, 3), np.uint8)
    for i, image in enumerate(images):
        warp = _random_warp(image.shape[0], size, rng, strength)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        chip = cv2.warpAffine(image, warp, (size, size), None, flags, cv2.BORDER_REFLECT_101)
        chip = cv2.transform(chip, _random_colour(rng, strength))
        if rng.random() < 0.3 * strength:
            small = int(np.exp(rng.uniform(np.log(size * 0.3), np.log(size))))
            chip = cv2.resize(chip, (small, small), interpolation=cv2.INTER_AREA)
            chip = cv2.resize(chip, (size, size), interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.4 * strength:
            noise = rng.standard_normal(chip.shape, np.float32) * rng.uniform(1.0, 10.0)
            chip = np.clip(chip + noise, 0, 255).astype(np.uint8)
        if rng.random() < 0.3 * strength:
            _erase(chip, rng)
        out[i] = chip
    return out


def _label(name: str, row: dict[str, str]) -> tuple[float, float, float, float]:
    """Gives (age low, age high, female, race) of a row of the set's csv."""
    if name == "fairface":
        low, high = age_interval(row["age_min"], row["age_max"])
        return low, high, _FAIRFACE_GENDERS[row["gender"]], _FAIRFACE_RACES[row["race"]]
    age = float(row["age"])
    return age, age, float(row["gender"]), float(row["race"])


def _read_images(archive: Path, names: Sequence[str]) -> NDArray[np.uint8]:
    """Decodes the named members of a tar into `(N, 112, 112, 3)` uint8 RGB."""
    out = np.empty((len(names), CHIP_SIZE, CHIP_SIZE, 3), np.uint8)
    data = archive.read_bytes()
    with tarfile.open(archive) as tar:
        places = {member.name: (member.offset_data, member.size) for member in tar}

    def decode(i: int) -> None:
        start, size = places[names[i]]
        image = cv2.imdecode(np.frombuffer(data, np.uint8, size, start), cv2.IMREAD_COLOR)
        if image is None or image.shape != out.shape[1:]:
            raise ValueError(f"{names[i]} is no {CHIP_SIZE} pixel picture")
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=out[i])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(decode, range(len(names))))
    return out


def _random_warp(
    side: int, size: int, rng: np.random.Generator, strength: float
) -> NDArray[np.float64]:
    """Draws a map `(2, 3)` float64 from pixels of the result to pixels of the chip."""
    turn, zoom, aspect, *shift = rng.standard_normal(5) * strength
    angle = np.deg2rad(6.0 * turn)
    scale = side / size * np.exp(0.09 * zoom)
    stretch = np.exp(0.02 * aspect * np.array([1.0, -1.0]))
    if rng.random() < 0.5:
        stretch[0] = -stretch[0]
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) * stretch * scale
    centre = side / 2 - 0.5 + 0.035 * side * np.array(shift)
    return np.column_stack([linear, centre - linear @ np.full(2, size / 2 - 0.5)])


def _random_colour(rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    """Draws a colour matrix `(3, 4)` float32 on (R, G, B, 1): light, contrast, tint, grey."""
    bright, contrast, *tint = rng.standard_normal(5) * strength
    slope = np.exp(0.15 * contrast)
    gain = np.exp(0.2 * bright) * np.exp(0.05 * np.array(tint))
    mix = np.eye(3)
    if rng.random() < 0.08 * strength:
        mix = np.tile([0.299, 0.587, 0.114], (3, 1))
    middle = 127.5 * (1 - slope)
    return np.column_stack([gain[:, None] * slope * mix, gain * middle]).astype(np.float32)


def _erase(chip: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Fills a random rectangle of 4 to 20 % of the area with one colour, in place."""
    side = chip.shape[0]
    area = rng.uniform(0.04, 0.2) * side * side
    height = int(np.clip(np.sqrt(area * np.exp(rng.uniform(-0.7, 0.7))), 1, side))
    width = int(np.clip(area / height, 1, side))
    y, x = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    chip[y : y + height, x : x + width] = rng.integers(0, 256, 3)
