"""FG-NET: 1,002 photographs of 82 people over their lives; labels are in the names.

    images/SSSAYY[x].JPG    person SSS at YY years; x separates images of one year

Gender and ethnicity are not published. Too small to train on: all of it is the split test.

Reference:
    Lanitis, Taylor, Cootes, "Toward automatic simulation of aging effects on face images",
    PAMI 2002.
"""

import re
from pathlib import Path

from training.datasets import Reading
from training.datasets.layout import image_files, named
from training.labels import Face

LAYOUT = "images/SSSAYY.JPG, such as images/001A02.JPG"


def read(root: Path) -> Reading:
    """Read the names of the images."""
    return named(image_files(root), r"(?i)(\d{3})A(\d{2})[a-z]?\.jpg", _label)


def _label(file: str, labels: re.Match[str]) -> Face:
    person, age = labels[1], int(labels[2])
    return Face(file, (age, age), person=person, split="test")
