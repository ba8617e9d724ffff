"""The steps from a published set to chips with a table; `training.prepare` is the program.

    read     the set's reader returns faces (`training.datasets`)
    plan     those with the wanted labels and an existing image
    cut      one chip per image (`cutting`), into an archive that can be resumed
    finish   twins and people make groups, groups make splits; table, record, plot

Only cutting takes long. The rest is done on every run, so that labels can be corrected and splits
drawn differently without cutting again.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from errors import DatasetError
from training.datasets import read_dataset
from training.labels import Face, write_table
from training.preparing import groups
from training.preparing.chip_archive import ChipArchive
from training.preparing.cutting import SUFFIX, Cut, cut_all
from training.preparing.summary import SetRecord, draw
from training.result_files import write_json

_PICTURES_A_WORKER = 64  # with fewer, starting a process takes longer than its work
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".chip"})


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """What the outputs depend on, besides the set itself.

    Attributes:
        name: of the set, a key of `datasets.DATASETS`.
        cut: how chips are made.
        need: labels that a face must have, some of `structures.ATTRIBUTES`.
        limit: at most this many faces, the first ones; None = all.
        fresh: draw splits even if some are published.
        test_share, val_share: of the faces, where splits are drawn.
        seed: of the draw.
    """

    name: str
    cut: Cut = field(default_factory=Cut)
    need: Sequence[str] = ()
    limit: int | None = None
    fresh: bool = False
    test_share: float = 0.2
    val_share: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class CutPlan:
    """What to cut.

    Attributes:
        faces: `file` is the image, relative to the root.
        chips: names of their chips, each once.
        dropped: reason -> faces left out before.
    """

    faces: list[Face]
    chips: list[str]
    dropped: Counter[str]

    def made_from(self, cut: Cut) -> dict[str, Any]:
        """Return what the bytes of the chips depend on, ready for JSON."""
        names = "\n".join(_described(face) for face in self.faces)
        return asdict(cut) | {"pictures": hashlib.sha256(names.encode()).hexdigest()}


def prepare_set(
    settings: PrepareSettings, root: Path, out: Path, workers: int, replace: bool
) -> str:
    """Prepare the set in `root`, cut by `workers` processes; return a line on the result.

    `replace` starts over if `out` holds the set made from something else.

    Raises:
        StreamError: the set, the detector or the disk fails, in one line.
    """
    todo = plan(settings, root)
    with ChipArchive(out, settings.name, todo.made_from(settings.cut), replace) as archive:
        cut(todo, settings.cut, root, archive, workers)
        return finish(settings, todo, archive)


def plan(settings: PrepareSettings, root: Path) -> CutPlan:
    """Read the set and select its faces.

    DatasetError if nothing is left, or most of the images are missing.
    """
    reading = read_dataset(settings.name, root)
    dropped = Counter(reading.dropped)
    wanted = [face for face in reading.faces if not _lacks(face, settings.need)]
    dropped["label missing"] = len(reading.faces) - len(wanted)
    if not wanted:
        raise DatasetError(f"no face of {settings.name} has all of {', '.join(settings.need)}")
    wanted = wanted[: settings.limit]
    found = [face for face in wanted if _is_text(face.file) and (root / face.file).is_file()]
    dropped["missing picture"] = missing = len(wanted) - len(found)
    if 2 * missing > len(wanted):
        kept = set(found)
        first = next(face.file for face in wanted if face not in kept)
        raise DatasetError(
            f"{missing} of {len(wanted)} images are missing under {root}, the first is "
            f"{first!a}; copy or unpack the set again"
        )
    return CutPlan(found, chip_names([face.file for face in found]), dropped)


def _lacks(face: Face, need: Sequence[str]) -> bool:
    labels = {"age": face.age, "gender": face.female, "ethnicity": face.ethnicity}
    return any(labels[name] is None for name in need)


def _is_text(file: str) -> bool:
    """Whether a file's name, which may be any bytes, can be written to a table."""
    return not any("\ud800" <= letter <= "\udfff" for letter in file)


def _described(face: Face) -> str:
    """Return the file, with the box if one of several faces is meant."""
    return face.file if face.box is None else f"{face.file} {face.box}"


def chip_names(files: Sequence[str]) -> list[str]:
    """Return the names of images' chips: with a new suffix, or an added one if that clashes.

    Chips of several faces of one image are numbered: `a.webp`, `a.face2.webp`.
    """
    times = Counter(_without_suffix(file) for file in dict.fromkeys(files))
    seen = Counter[str]()
    names = []
    for file in files:
        seen[file] += 1
        short = _without_suffix(file)
        number = f".face{seen[file]}" if seen[file] > 1 else ""
        names.append((short if times[short] == 1 else file) + number + SUFFIX)
    return names


def _without_suffix(file: str) -> str:
    path = PurePosixPath(file)
    while path.suffix.lower() in _SUFFIXES:
        path = path.with_suffix("")
    return str(path)


def cut(todo: CutPlan, how: Cut, root: Path, archive: ChipArchive, workers: int) -> None:
    """Cut the chips that the archive lacks, with a progress bar.

    Raises:
        StreamError: the archive cannot be written, or the detector is not available.
    """
    begun = len(archive.entries)
    pictures = [(root / face.file, face.box) for face in todo.faces[begun:]]
    if pictures:
        workers = min(workers, max(1, len(pictures) // _PICTURES_A_WORKER))
        outcomes = cut_all(pictures, how, workers)
        with tqdm(initial=begun, total=len(todo.faces), unit="face", disable=None) as bar:
            for chip, outcome in zip(todo.chips[begun:], outcomes, strict=True):
                archive.add(chip, outcome)
                bar.update()
    archive.finish(outdated=archive.path.with_suffix(".csv"))


def finish(settings: PrepareSettings, todo: CutPlan, archive: ChipArchive) -> str:
    """Group, split and write the table, the record and the plot; return a line for people.

    Raises:
        DatasetError: there is no chip, or something cannot be written.
    """
    left_out: dict[str, list[str]] = {}
    faces = []
    for face, entry in zip(todo.faces, archive.entries, strict=True):
        if entry.why:
            left_out.setdefault(entry.why, []).append(face.file)
        else:
            faces.append(replace(face, file=entry.file, box=None))
    if not faces:
        reasons = ", ".join(f"{len(files)} {why}" for why, files in left_out.items())
        raise DatasetError(
            f"none of {len(todo.faces)} images yielded a chip: {reasons}; if they are aligned "
            "already, --aligned only resizes them"
        )
    twins = groups.find_twins(groups.frequencies_of(archive.path, [face.file for face in faces]))
    found = groups.twin_report(faces, twins)
    faces = groups.grouped(faces, twins, settings.name)
    if settings.fresh or not any(face.split for face in faces):
        faces = groups.assign(faces, settings.test_share, settings.val_share, settings.seed)
    kept = groups.settle(faces)
    dropped = todo.dropped + Counter({why: len(files) for why, files in left_out.items()})
    dropped[groups.STRADDLES] = len(faces) - len(kept)
    record = SetRecord(settings.name, asdict(settings), kept, +dropped, left_out, found)
    write_json(archive.path.with_suffix(".json"), record.as_json())
    draw(settings.name, kept, archive.path.with_suffix(".png"))
    write_table(archive.path.with_suffix(".csv"), kept)
    return record.summary()
