"""LAGENDA: 84,192 faces of all ages in 67,159 photographs of Open Images.

    lagenda_annotation.csv      a row for each person found in a photograph:
        img_name, age, gender, face_x0, face_y0, face_x1, face_y1, person_x0, ... person_y1
    the photographs             where img_name says, relative to the table's folder

Ages, in whole years, and genders, M or F, are votes of ten people, so ages are *apparent* ones.
-1 means unknown, also in the corners of a box. People without a face box, and those with neither
age nor gender, are left out. A photograph may show several people: the chip is of the face in
the labelled box, and all faces of a photograph stay on one side of a split. No splits are
published.

Reference:
    Kuprashevich, Tolstykh, "MiVOLO: Multi-input Transformer for Age and Gender Estimation",
    2023, section 3.
"""

from collections.abc import Mapping
from pathlib import Path

from training.datasets import Reading
from training.datasets.layout import table
from training.labels import Box, Face, age_interval

LAYOUT = "lagenda_annotation.csv and the photographs that it names"
TABLE = "lagenda_annotation.csv"
_BOX = ("face_x0", "face_y0", "face_x1", "face_y1")
_UNKNOWN = "-1"
_GENDERS = {"M": False, "F": True, _UNKNOWN: None, "": None}


def read(root: Path) -> Reading:
    """Read the table; see `datasets.Reader`."""
    return table(root / TABLE, ("img_name", "age", "gender", *_BOX), _label)


def _label(row: Mapping[str, str]) -> Face | str:
    if row["gender"] not in _GENDERS:
        raise ValueError(f"want a gender out of M, F, -1, got {row['gender']!r}")
    female = _GENDERS[row["gender"]]
    age = None if row["age"] in (_UNKNOWN, "") else age_interval(row["age"], row["age"])
    if age is None and female is None:
        return "neither age nor gender"
    if (box := _box(row)) is None:
        return "no face box"
    file = row["img_name"]
    return Face(file, age, female, group=file, box=box)


def _box(row: Mapping[str, str]) -> Box | None:
    corners = [row[name] for name in _BOX]
    if _UNKNOWN in corners or "" in corners:
        return None
    x0, y0, x1, y1 = map(float, corners)
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"want x0 < x1 and y0 < y1 of the face's box, got {corners}")
    return x0, y0, x1, y1
