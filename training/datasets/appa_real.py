"""APPA-REAL: 7,591 faces with their real age and the mean of about 38 guesses.

    gt_avg_train.csv, gt_avg_valid.csv, gt_avg_test.csv
        file_name, num_ratings, apparent_age_avg, apparent_age_std, real_age
    train/000000.jpg            the photograph
    train/000000.jpg_face.jpg   the face turned upright, with a margin of 40 %

The cropped face is used where it exists: photographs may show others, too. These tables have no
gender. `appa_real` has the real age as its label, `appa_real_apparent` the mean guess.

Reference:
    Agustsson, Timofte, Escalera, Baro, Guyon, Rothe, "Apparent and real age estimation in
    still images with deep residual regressors on APPA-REAL database", FG 2017.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from training.datasets import Reading
from training.datasets.layout import join, table
from training.labels import Face, age_interval

LAYOUT = "gt_avg_{train,valid,test}.csv and train/000000.jpg_face.jpg, valid/..., test/..."
_SPLITS = {"train": "train", "valid": "val", "test": "test"}


def read(root: Path) -> Reading:
    """Read the tables with the real age; errors as in `datasets.Reader`."""
    return _read_column(root, "real_age")


def read_apparent(root: Path) -> Reading:
    """Read the tables with the apparent age; errors as in `datasets.Reader`."""
    return _read_column(root, "apparent_age_avg")


def _read_column(root: Path, column: str) -> Reading:
    columns = "file_name", column
    return join(
        table(root / f"gt_avg_{part}.csv", columns, partial(_label, root, part, column))
        for part in _SPLITS
    )


def _label(root: Path, part: str, column: str, row: Mapping[str, str]) -> Face:
    photograph = f"{part}/{row['file_name']}"
    cut_out = f"{photograph}_face.jpg"
    file = cut_out if (root / cut_out).is_file() else photograph
    return Face(file, age_interval(row[column], row[column]), split=_SPLITS[part])
