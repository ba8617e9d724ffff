"""Adience: 26,580 photographs of 2,284 people from albums, in five folds; ages are ranges.

    fold_0_data.txt .. fold_4_data.txt                 tab-separated
    aligned/USER/landmark_aligned_face.FACE.IMAGE      aligned, 816 x 816, or
    faces/USER/coarse_tilt_aligned_face.FACE.IMAGE     cropped only

The folders of the users may also lie in the root itself. An age is a range such as (25, 32), a
single number, or None; gender is m, f or u. A face with one of the two labels is kept for it
(most faces of unknown gender are babies); one with neither is left out. The splits are the
published folds, fold0 .. fold4, which have no person in common.

Reference:
    Eidinger, Enbar, Hassner, "Age and Gender Estimation of Unfiltered Faces", IEEE
    Transactions on Information Forensics and Security, 2014.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from training.datasets import Reading
from training.datasets.layout import join, table
from training.labels import Face, age_interval

LAYOUT = "fold_0_data.txt .. fold_4_data.txt and the folder aligned or faces"
_COLUMNS = ("user_id", "original_image", "face_id", "age", "gender")
_FOLDS = 5
_PLACES = (
    ("aligned/", "landmark_aligned_face"),
    ("faces/", "coarse_tilt_aligned_face"),
    ("", "landmark_aligned_face"),
    ("", "coarse_tilt_aligned_face"),
)
_GENDERS = {"m": False, "f": True, "u": None, "": None}
_RANGE = re.compile(r"\((\d+), *(\d+)\)")


def read(root: Path) -> Reading:
    """Read the folds, with images from the first place that has any; see `datasets.Reader`."""
    reading = join(
        table(root / f"fold_{fold}_data.txt", _COLUMNS, partial(_label, fold), "\t")
        for fold in range(_FOLDS)
    )
    places = (_placed(reading.faces, *place) for place in _PLACES)
    first = _placed(reading.faces, *_PLACES[0])
    found = (faces for faces in places if any((root / face.file).is_file() for face in faces))
    return Reading(next(found, first), reading.dropped)


def _label(fold: int, row: Mapping[str, str]) -> Face | str:
    if row["gender"] not in _GENDERS:
        raise ValueError(f"want a gender out of m, f, u, got {row['gender']!r}")
    age, female = _age(row["age"]), _GENDERS[row["gender"]]
    if age is None and female is None:
        return "neither age nor gender"
    person = f"{row['user_id']}/{row['face_id']}"
    file = f"{row['user_id']}/{row['face_id']}.{row['original_image']}"
    return Face(file, age, female, person=person, split=f"fold{fold}")


def _age(text: str) -> tuple[float, float] | None:
    if text in ("", "None"):
        return None
    if match := _RANGE.fullmatch(text):
        return age_interval(*match.groups())
    return age_interval(text, text)


def _placed(faces: list[Face], folder: str, kind: str) -> list[Face]:
    """Return the same faces with their files as one of the layouts has them."""
    names: Iterator[tuple[str, str, str]] = (face.file.partition("/") for face in faces)
    files = (f"{folder}{user}/{kind}.{name}" for user, _, name in names)
    return [replace(face, file=file) for face, file in zip(faces, files, strict=True)]
