"""APPA-REAL with the mean of what people guessed as the age; see `appa_real`."""

from pathlib import Path

from training.datasets import Reading
from training.datasets.appa_real import LAYOUT, read_column

__all__ = ["LAYOUT", "read"]


def read(root: Path) -> Reading:
    """Read the tables with the apparent age.

    Raises:
        DatasetError: see `datasets.Reader`.
    """
    return read_column(root, "apparent_age_avg")
