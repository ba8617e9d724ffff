"""Labeled Faces in the Wild: 13,233 images of 5,749 people; gender only, from lists.

    NAME/NAME_0001.jpg                      in the root or below (lfw, lfw-deepfunneled)
    male_names.txt, female_names.txt        in the root; also lfw_male.txt and the like

The lists were published separately. Each line is a person's name or that of an image. People on
no list or on both are left out. The set is for tests: all of it is the split test.

Reference:
    Huang, Ramesh, Berg, Learned-Miller, "Labeled Faces in the Wild", 2007. Lists: Afifi,
    Abdelhamed, "AFIF4: Deep Gender Classification based on AdaBoost-based Fusion of Isolated
    Facial Features and Foggy Faces", 2017.
"""

import re
from collections import Counter
from pathlib import Path, PurePath

from errors import DatasetError
from training.datasets import Reading
from training.datasets.layout import image_files
from training.labels import Face

LAYOUT = "NAME/NAME_0001.jpg, male_names.txt and female_names.txt"
_NUMBERED = re.compile(r"(.+)_\d{4}\.jpg", re.IGNORECASE)


def read(root: Path) -> Reading:
    """Read the lists and the names of the images; DatasetError if a list cannot be read."""
    women = _people(root, "female")
    men = _people(root, "male")
    faces, dropped = [], Counter[str]()
    for file in image_files(root):
        match = _NUMBERED.fullmatch(PurePath(file).name)
        if match is None:
            dropped["malformed name"] += 1
            continue
        person = match[1]
        if (person in women) == (person in men):
            dropped["on both lists" if person in men else "on no list"] += 1
            continue
        faces.append(Face(file, female=person in women, person=person, split="test"))
    return Reading(faces, dropped)


def _people(root: Path, gender: str) -> set[str]:
    """Return the names on the list of one gender, as in the names of the files."""
    lists = sorted(
        path
        for path in root.glob("*.txt")
        if re.search(rf"(?<![a-z]){gender}(?![a-z])", path.name.lower())
    )
    if not lists:
        raise DatasetError(f"{root} has no list of {gender} names; put {gender}_names.txt into it")
    people = set()
    for path in lists:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"cannot read the list {path}; get it again") from error
        for line in filter(str.strip, lines):
            name = PurePath(line.split("\t")[0].strip()).name.replace(" ", "_")
            match = _NUMBERED.fullmatch(name)
            people.add(match[1] if match else name)
    return people
