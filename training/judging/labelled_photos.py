"""Labelled photographs: find and align the faces.

The labels come from `labels.csv` in the folder (columns as in `labels`), or from the names:

    utkface  AGE_GENDER_RACE_anything.jpg; gender 0 male, 1 female; the race may be missing:
             34_1_holiday.jpg
    fgnet    SSSAYY[letter].JPG: the person and the age, as in 001A08.JPG

A photograph stands for its largest face. One in which no face is found counts as missed, not as
an error.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from detectors import Detector
from errors import DatasetError, SourceError
from estimators.crops import align
from sources.photographs import list_pictures, load_picture
from structures import ETHNICITIES, Image
from training.chips import Chips, labelled, shrink
from training.labels import Face, read_table
from training.preparing.cutting import find_faces, largest_face

LABELS = "labels.csv"
SHOWN_SIZE = 112  # side of the chips that reports show, pixels
_UTKFACE = re.compile(r"(\d{1,3})_([01])(?:_(\d))?(?=[_. -]|$)")
_FGNET = re.compile(r"(\d{3})A(\d{2})[a-z]?", re.IGNORECASE)
_OLDEST = 120


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled faces to evaluate on.

    Attributes:
        name: as shown.
        chips: those with a found face, in any size.
        missed: labels of photographs without a found face; their images are black.
        aligned: side in pixels -> (N, side, side, 3) chips cut straight from photographs.
        notes: on the set, one line each.
    """

    name: str
    chips: Chips
    missed: Chips | None = None
    aligned: dict[int, Image] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def from_photographs(self) -> bool:
        """Whether the faces were found in whole photographs, not read as chips."""
        return self.missed is not None

    def images(self, side: int) -> Image:
        """Return the chips, (N, side, side, 3) uint8 RGB."""
        if side not in self.aligned:
            return shrink(self.chips.images, side)
        return self.aligned[side]


def read_labels(folder: Path, names: str = "auto") -> tuple[list[Face], list[str]]:
    """Read the labels of a folder's photographs; return the faces, and notes on those left out.

    Args:
        folder: the photographs; `labels.csv` may name some in folders within it.
        names: "labels", "utkface" or "fgnet"; "auto" = the table if it exists, else utkface.

    Raises:
        DatasetError: no such folder, no labels, or a wrong one.
    """
    if not folder.is_dir():
        raise DatasetError(f"no folder {folder}; check the path")
    if names == "labels" or (names == "auto" and (folder / LABELS).exists()):
        faces = read_table(folder / LABELS)
        _check_once(folder, faces)
        unlabelled = [
            f for f in faces if f.age is None and f.female is None and f.ethnicity is None
        ]
        faces = [face for face in faces if face not in unlabelled]
        left_out = [face.file for face in unlabelled]
    else:
        parse = NAMES["utkface" if names in ("auto", "labels") else names]
        found = [(path.name, parse(path)) for path in list_pictures(folder)]
        faces = [face for _, face in found if face is not None]
        left_out = [name for name, face in found if face is None]
    if not faces:
        raise DatasetError(
            f"{folder} has no labelled photographs; put a table {LABELS} there with the columns "
            "file, age, gender and ethnicity, or name them like 34_1_0_x.jpg (age, gender, race)"
        )
    return faces, _note("without a label", left_out)


def _check_once(folder: Path, faces: Iterable[Face]) -> None:
    """Raise DatasetError where two rows name one photograph, by a link or in another way."""
    names: dict[Path, str] = {}
    for face in faces:
        other = names.setdefault((folder / face.file).resolve(), face.file)
        if other is not face.file:
            raise DatasetError(
                f"{folder / LABELS}: {other} and {face.file} are one photograph; delete a row"
            )


def cut_faces(
    folder: Path,
    faces: Sequence[Face],
    detector: Detector,
    sides: Iterable[int],
    name: str,
    notes: Sequence[str] = (),
) -> Examples:
    """Find and align the largest face of each photograph, `Face.file` in `folder`.

    Chips are cut `sides` pixels wide, besides those for reports; `notes` come first.

    Raises:
        DatasetError: none can be read, or none shows a face.
    """
    sizes = sorted({SHOWN_SIZE, *sides})
    cut: dict[int, list[Image]] = {side: [] for side in sizes}
    found: list[Face] = []
    missed: list[Face] = []
    unreadable: list[str] = []
    several = 0
    for face in tqdm(faces, unit="photo", desc=name, disable=None):
        try:
            image = load_picture(folder / face.file, face.file)
        except SourceError:
            unreadable.append(face.file)
            continue
        faces_found = find_faces(image, detector)
        several += len(faces_found) > 1
        if not len(faces_found):
            missed.append(face)
            continue
        points = largest_face(faces_found)
        found.append(face)
        for side in sizes:
            cut[side].append(align(image, points, detector.landmark_template, side)[0])
    if not found:
        if len(unreadable) == len(faces):
            raise DatasetError(f"none of the {len(faces)} photographs in {folder} can be read")
        raise DatasetError(f"no face was found in the photographs of {folder}; see --min-face")
    lines = [*notes, *_note("cannot be read", unreadable)]
    if several:
        lines.append(f"{several} photographs show several faces: the largest one is used")
    aligned = {side: np.stack(images) for side, images in cut.items()}
    black = np.zeros((len(missed), 1, 1, 3), np.uint8)
    chips, lost = labelled(aligned[SHOWN_SIZE], found), labelled(black, missed)
    return Examples(name, chips, lost, aligned, tuple(lines))


def _utkface(path: Path) -> Face | None:
    match = _UTKFACE.match(path.name)
    if match is None or int(match[1]) > _OLDEST:
        return None
    age = float(match[1])
    race = int(match[3]) if match[3] else None
    if race is not None and race >= len(ETHNICITIES):
        return None
    return Face(path.name, (age, age), match[2] == "1", race)


def _fgnet(path: Path) -> Face | None:
    match = _FGNET.fullmatch(path.stem)
    if match is None:
        return None
    return Face(path.name, (float(match[2]), float(match[2])), person=match[1])


def _note(what: str, files: Sequence[str]) -> list[str]:
    """Return a line on photographs that are left out, if any."""
    if not files:
        return []
    more = ", ..." if len(files) > 3 else ""
    return [f"{len(files)} left out, {what}: {', '.join(files[:3])}{more}"]


NAMES: dict[str, Callable[[Path], Face | None]] = {"utkface": _utkface, "fgnet": _fgnet}
