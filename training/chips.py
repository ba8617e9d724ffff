"""Labelled face chips: reading the sets from their archives.

A set is `NAME.tar` with images of 112 x 112 pixels and `NAME.csv` (see `labels`) with a row
for each; `training.prepare` makes both. All chips are aligned in the same geometry. Ages are
ranges: an exact age is a range of width 0, so that one loss serves all sets.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from errors import DatasetError
from training.labels import Face, read_table

EYE_DISTANCE = 0.354  # of the canonical chip's side, between the centres of the eyes


@dataclass(frozen=True, slots=True)
class Chips:
    """Chips with their labels; row i of each array belongs to chip i.

    Attributes:
        images: `(N, S, S, 3)` uint8, RGB.
        age_low: `(N,)` float32, youngest age in years that the label allows; NaN = unknown.
        age_high: `(N,)` float32, oldest such age; equal to `age_low` where it is exact.
        female: `(N,)` float32, 0 for male and 1 for female; NaN = unknown.
        race: `(N,)` int64, index into `structures.ETHNICITIES`; -1 = unknown.
        files: `(N,)` str, of the image it was cut from.
        groups: `(N,)` str; chips of the same group belong on one side of a split.
    """

    images: NDArray[np.uint8]
    age_low: NDArray[np.float32]
    age_high: NDArray[np.float32]
    female: NDArray[np.float32]
    race: NDArray[np.int64]
    files: NDArray[np.str_]
    groups: NDArray[np.str_]

    def __len__(self) -> int:
        """Number of chips."""
        return len(self.images)

    @property
    def labels(self) -> tuple[NDArray[np.floating] | NDArray[np.int64], ...]:
        """Youngest and oldest age, gender and ethnicity, `(N,)` each."""
        return self.age_low, self.age_high, self.female, self.race

    def take(self, rows: NDArray[np.int64]) -> Chips:
        """Return copies of the chips of `rows` `(M,)` int64, in that order."""
        return Chips(*(values[rows] for values in self._columns()))

    def face(self, row: int) -> Face:
        """Return the labels of one chip."""
        low, high = float(self.age_low[row]), float(self.age_high[row])
        female, race = self.female[row], int(self.race[row])
        return Face(
            str(self.files[row]),
            None if np.isnan(low) else (low, high),
            None if np.isnan(female) else bool(female),
            None if race < 0 else race,
            group=str(self.groups[row]),
        )

    def _columns(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))


def load_chips(folder: Path, name: str, split: str, limit: int | None = None) -> Chips:
    """Read one split of one set into memory (37 kB per chip of 112 pixels).

    Args:
        folder: holds `NAME.tar` and `NAME.csv`.
        name: of the set.
        split: as in the csv file.
        limit: at most this many rows, the first ones.

    Raises:
        DatasetError: a file is missing, no row is of this split, or a row or chip is damaged.
    """
    archive = folder / f"{name}.tar"
    if not archive.exists():
        sets = ", ".join(sorted(path.stem for path in folder.glob("*.tar"))) or "none"
        raise DatasetError(f"no set {name} in {folder} (there: {sets}); see training.prepare")
    table = read_table(folder / f"{name}.csv")
    faces = [face for face in table if face.split == split][:limit]
    if not faces:
        splits = ", ".join(sorted({face.split or "none" for face in table}))
        raise DatasetError(f"{name} in {folder} has no rows of the split {split}; has {splits}")
    try:
        images = _read_images(archive, [face.file for face in faces])
    except KeyError as error:
        raise DatasetError(f"{archive} lacks the chip {error}; copy or prepare it again") from error
    except (ValueError, OSError, tarfile.TarError) as error:
        raise DatasetError(f"cannot read {archive}: {error}; copy or prepare it again") from error
    return labelled(images, faces)


def load_train(folder: Path, name: str, limit: int | None = None) -> Chips:
    """Read what is learnt of a set: its split `train`, or of "NAME:SPLIT+SPLIT" these; see above.

    `limit` is of each split.
    """
    splits = name.partition(":")[2] or "train"
    return join([load_chips(folder, set_name(name), one, limit) for one in splits.split("+")])


def set_name(name: str) -> str:
    """Return the name of a set without the splits that may follow it: of NAME:SPLIT+SPLIT."""
    return name.partition(":")[0]


def labelled(images: NDArray[np.uint8], faces: Sequence[Face]) -> Chips:
    """Combine `(N, S, S, 3)` uint8 RGB chips with their N labels."""
    nan = float("nan")
    ages = np.array([face.age or (nan, nan) for face in faces], np.float32).reshape(-1, 2)
    return Chips(
        images,
        ages[:, 0],
        ages[:, 1],
        np.array([nan if face.female is None else face.female for face in faces], np.float32),
        np.array([-1 if face.ethnicity is None else face.ethnicity for face in faces], np.int64),
        np.array([face.file for face in faces], np.str_),
        np.array([face.group or face.person or face.file for face in faces], np.str_),
    )


def join(parts: Sequence[Chips]) -> Chips:
    """Concatenate sets, their chips shrunk to the smallest size; `parts` must not be empty."""
    if len(parts) == 1:
        return parts[0]
    side = min(part.images.shape[1] for part in parts)
    images = [p.images if p.images.shape[1] == side else shrink(p.images, side) for p in parts]
    labels = zip(*(part._columns()[1:] for part in parts), strict=True)
    return Chips(np.concatenate(images), *(np.concatenate(column) for column in labels))


def years_outside(
    years: NDArray[np.floating], low: NDArray[np.floating], high: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return the years, `(N,)`, by which ages lie outside their ranges; 0 within.

    For an exact label, a range of width 0, that is the absolute error.
    """
    return np.maximum(0, np.maximum(low - years, years - high))


def nearest_class(
    years: NDArray[np.floating] | NDArray[np.integer], ranges: Sequence[tuple[int, int]]
) -> NDArray[np.int64]:
    """Return the class, `(N,)`, that each age, rounded to whole years, lies in or nearest to.

    Of two equally near ones (schemes may have gaps) it is the younger.
    """
    lows, highs = np.array(ranges, np.float64).T
    whole = np.rint(years)[:, None].astype(np.float64)  # (N, 1), against (K,)
    return np.asarray(years_outside(whole, lows, highs).argmin(axis=1), np.int64)


def from_afar(images: NDArray[np.uint8], eye_distance: float) -> NDArray[np.uint8]:
    """Return chips as of people so far away that few pixels lie between their eyes.

    They are reduced and enlarged again to their size; those that are smaller already are
    returned as they are.

    Args:
        images: `(N, S, S, 3)` uint8; not changed.
        eye_distance: pixels between the centres of the eyes.
    """
    side = max(2, round(eye_distance / EYE_DISTANCE))
    if side >= images.shape[1]:
        return images
    return shrink(shrink(images, side), images.shape[1])


def shrink(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize chips `(N, S, S, 3)` to `(N, size, size, 3)`, averaging pixels when shrinking."""
    out = np.empty((len(images), size, size, 3), np.uint8)
    how = cv2.INTER_AREA if size < images.shape[1] else cv2.INTER_LINEAR
    for i, image in enumerate(images):
        cv2.resize(image, (size, size), dst=out[i], interpolation=how)
    return out


def _read_images(archive: Path, names: Sequence[str]) -> NDArray[np.uint8]:
    """Decode the named members of a tar, all of one size, into `(N, S, S, 3)` uint8 RGB."""
    data = archive.read_bytes()
    with tarfile.open(archive) as tar:
        places = {member.name: (member.offset_data, member.size) for member in tar}

    def decode(name: str) -> NDArray[np.uint8]:
        start, size = places[name]
        pixels = np.frombuffer(data[start : start + size], np.uint8)
        image = cv2.imdecode(pixels, cv2.IMREAD_COLOR) if size else None
        if image is None or image.shape[0] != image.shape[1]:
            raise ValueError(f"{name} is no square image")
        return np.asarray(image, np.uint8)

    shape = decode(names[0]).shape
    out = np.empty((len(names), *shape), np.uint8)

    def put(i: int) -> None:
        image = decode(names[i])
        if image.shape != shape:
            raise ValueError(f"{names[i]} is {image.shape[0]} pixels wide, others {shape[0]}")
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=out[i])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(put, range(len(names))))
    return out
