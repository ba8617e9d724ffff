"""FairFace: 97,698 faces, balanced over seven ethnicities; ages are ranges.

    fairface_label_train.csv, fairface_label_val.csv    file, age, gender, race, service_test
    train/N.jpg, val/N.jpg                              aligned, 224 x 224

The test labels were never published; results are reported on the split called val, which is
therefore called test here and must not be used for tuning. East Asian and Southeast Asian become
Asian; Latino_Hispanic and Middle Eastern become Others.

Reference:
    Karkkainen, Joo, "FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age for
    Bias Measurement and Mitigation", WACV 2021.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from training.datasets import Reading
from training.datasets.layout import join, table
from training.labels import Face, parse

LAYOUT = "fairface_label_train.csv, fairface_label_val.csv, train/N.jpg and val/N.jpg"
_SPLITS = {"train": "train", "val": "test"}
_OVER = "more than "


def read(root: Path) -> Reading:
    """Read both tables; errors as in `datasets.Reader`."""
    columns = "file", "age", "gender", "race"
    return join(
        table(root / f"fairface_label_{part}.csv", columns, partial(_label, split))
        for part, split in _SPLITS.items()
    )


def _label(split: str, row: Mapping[str, str]) -> Face:
    age = row["age"]
    low, high = (age[len(_OVER) :], "") if age.startswith(_OVER) else age.split("-")
    labels = {"file": row["file"], "age_min": low, "age_max": high}
    return replace(parse(labels | {"gender": row["gender"], "race": row["race"]}), split=split)
