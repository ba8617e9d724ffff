"""UTKFace: 23,708 faces of all ages; the labels are in the names of the files.

    AGE_GENDER_RACE_DATE.jpg.chip.jpg   aligned and cropped, 200 x 200
    AGE_GENDER_RACE_DATE.jpg            in the wild

in one folder, or in part1, part2, part3. Gender 0 is male, 1 is female; race 0 White, 1 Black,
2 Asian, 3 Indian, 4 Others. A few published names lack a label or a dot, or have an extra blank;
they are left out, as everywhere in the literature.

Reference:
    Zhang, Song, Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder",
    CVPR 2017.
"""

import re
from pathlib import Path

from training.datasets import Reading
from training.datasets.layout import image_files, named
from training.labels import Face

LAYOUT = "AGE_GENDER_RACE_DATE.jpg.chip.jpg or AGE_GENDER_RACE_DATE.jpg, in part1..3 or not"
_LABELS = r"(\d{1,3})_([01])_([0-4])_\d+\.jpg"
_CHIP = ".jpg.chip.jpg"


def read(root: Path) -> Reading:
    """Read the names; where both layouts exist, only the aligned images."""
    files = list(image_files(root))
    chips = [file for file in files if file.lower().endswith(_CHIP)]
    if chips:
        return named(chips, _LABELS + r"\.chip\.jpg", _label)
    return named(files, _LABELS, _label)


def _label(file: str, labels: re.Match[str]) -> Face:
    age, gender, race = map(int, labels.groups())
    return Face(file, (age, age), gender == 1, race)
