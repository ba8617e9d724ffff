"""IMDB-WIKI: half a million portraits of actors and of people in Wikipedia.

    imdb.mat, wiki.mat   in the root or one folder below (imdb_crop, wiki_crop, imdb, wiki)
    NN/NAME.jpg          beside them, as in the field full_path

Each table is one MATLAB struct with one entry per face in each field. `dob` is a serial date, day
1 being 1 January of the year 0; `photo_taken` is a year, taken to be its 1 July; gender 0 is
**female**, 1 is male, NaN unknown; `face_score` is -Inf if no face was found;
`second_face_score` is a number if there is a second one.

The labels were collected automatically. The usual rules leave out, in this order: no face, a
second face, unknown gender, no date, age outside 0..100.

Reference:
    Rothe, Timofte, Van Gool, "Deep expectation of real and apparent age from a single image
    without facial landmarks", IJCV 2018.
"""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import DatasetError
from training.datasets import Reading
from training.datasets.layout import COPY_AGAIN, join
from training.labels import Face

LAYOUT = "imdb.mat or wiki.mat, in the root or one folder below, and the images beside it"
_FIELDS = ("dob", "photo_taken", "full_path", "gender", "name", "face_score", "second_face_score")
_ORDINAL_OF_DAY_0 = 366  # MATLAB counts from the year 0, which has 366 days, Python from 1
_OLDEST = 100


def read(root: Path) -> Reading:
    """Read the existing tables; errors as in `datasets.Reader`."""
    paths = sorted(
        path
        for kind in ("imdb", "wiki")
        for deep in ("", "*/")
        for path in root.glob(f"{deep}{kind}.mat")
    )
    return join(_table(path, path.parent.relative_to(root)) for path in paths)


def age_at(photo_taken: float, birth: float) -> int | None:
    """Return the whole years from a MATLAB serial date to 1 July of a year; None = no such date."""
    if not np.isfinite([photo_taken, birth]).all():
        return None
    ordinal = int(birth) - _ORDINAL_OF_DAY_0
    if not 1 <= ordinal <= date.max.toordinal():
        return None
    born = date.fromordinal(ordinal)
    return int(photo_taken) - born.year - ((born.month, born.day) > (7, 1))


def _table(path: Path, folder: Path) -> Reading:
    fields = _load(path)
    faces, dropped = [], Counter[str]()
    for i in range(len(fields["dob"])):
        row = {name: values[i] for name, values in fields.items()}
        found = _label(row, folder)
        if isinstance(found, Face):
            faces.append(found)
        else:
            dropped[found] += 1
    return Reading(faces, dropped)


def _label(row: dict[str, Any], folder: Path) -> Face | str:
    if not np.isfinite(row["face_score"]):
        return "no face found by the authors"
    if not np.isnan(row["second_face_score"]):
        return "second face"
    if row["gender"] not in (0, 1):
        return "gender missing"
    age = age_at(float(row["photo_taken"]), float(row["dob"]))
    if age is None:
        return "date missing"
    if not 0 <= age <= _OLDEST:
        return f"age outside 0..{_OLDEST}"
    file = (folder / _text(row["full_path"])).as_posix()
    return Face(file, (age, age), row["gender"] == 0, person=_text(row["name"]))


def _text(cell: Any) -> str:
    """Return the text of a MATLAB cell; an empty one is an empty array."""
    return str(np.ravel(cell)[0]).strip() if np.size(cell) else ""


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Return the fields of the struct, each (N,)."""
    from scipy.io import loadmat

    try:
        struct = loadmat(path)[path.stem][0, 0]
        fields = {name: np.ravel(struct[name]) for name in _FIELDS}
    except Exception as error:  # of many types, if the file is damaged
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"cannot read the table {path}: {reason}; {COPY_AGAIN}") from error
    if len({len(values) for values in fields.values()}) > 1:
        raise DatasetError(f"{path}: the fields differ in length; {COPY_AGAIN}")
    return fields
