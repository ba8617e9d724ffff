"""Sets that would teach a network nothing, or end in a traceback."""

import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from errors import DatasetError
from tests import chip_sets
from training.chips import Chips, load_chips
from training.fitting.settings import TrainingSettings
from training.fitting.training_data import require_labels
from training.preparing.groups import frequencies_of

UNKNOWN = np.full(16, np.nan, np.float32)


@pytest.mark.parametrize(
    ("label", "change"),
    [
        ("age", {"age_low": UNKNOWN, "age_high": UNKNOWN}),
        ("gender", {"female": UNKNOWN}),
        ("ethnicity", {"race": np.full(16, -1)}),
    ],
)
def test_an_output_that_nothing_teaches_is_refused(
    label: str, change: dict[str, np.ndarray]
) -> None:
    chips: Chips = replace(chip_sets.chips(16), **change)
    settings = TrainingSettings(sets=["mine"])
    with pytest.raises(DatasetError, match=f"of 16 faces of mine has a known {label}.*{label}"):
        require_labels(chips, settings, {})
    require_labels(chip_sets.chips(16), settings, {})
    name = {"ethnicity": "race"}.get(label, label)
    require_labels(chips, settings, {name: np.ones((16, 2), np.float32)})
    if label == "ethnicity":
        require_labels(chips, replace(settings, ethnicity=False), {})


def test_an_empty_chip_is_named(tmp_path: Path) -> None:
    chip_sets.write_set(tmp_path, "mine", 8)
    with tarfile.open(tmp_path / "mine.tar") as old, tarfile.open(tmp_path / "n.tar", "w") as new:
        for member in old:
            data = old.extractfile(member)
            if member.name == "train3.png":
                member.size, data = 0, None
            new.addfile(member, data)
    (tmp_path / "n.tar").replace(tmp_path / "mine.tar")
    with pytest.raises(DatasetError, match=r"mine\.tar: train3\.png is no square image"):
        load_chips(tmp_path, "mine", "train")
    with pytest.raises(DatasetError, match=r"train3\.png is empty"):
        frequencies_of(tmp_path / "mine.tar", ["train3.png"])
