"""APPA-REAL: 7,591 faces with their real age and the mean of about 38 guesses.

    gt_avg_train.csv, gt_avg_valid.csv, gt_avg_test.csv
        file_name, num_ratings, apparent_age_avg, apparent_age_std, real_age
    train/000000.jpg            the photograph
    train/000000.jpg_face.jpg   the face turned upright, with a margin of 40 %

The cut-out face is taken where it is there: photographs may show others, too. Gender is not in
these tables. The real age is the label here; `appa_real_apparent` takes the guesses.

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
    """Read the tables with the real age.

    Raises:
        DatasetError: see `datasets.Reader`.
    """
    return read_column(root, "real_age")


def read_column(root: Path, column: str) -> Reading:
    """Read the tables with the age in `column`.

    Raises:
        DatasetError: see `datasets.Reader`.
    """
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
