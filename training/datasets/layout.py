"""Shared by the readers: find images, and read tables line by line."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from training.csv_rows import read_rows
from training.datasets import Reading
from training.labels import Face

COPY_AGAIN = "copy or unpack the set again"


def image_files(folder: Path, suffix: str = ".jpg") -> Iterator[str]:
    """Yield the files in `folder` and below, relative to it, sorted, hidden ones left out.

    Their names end in `suffix`, in lower or upper case.
    """
    found = (
        path.relative_to(folder) for path in folder.rglob("*") if not path.name.startswith(".")
    )
    return iter(sorted(path.as_posix() for path in found if path.name.lower().endswith(suffix)))


def named(
    files: Iterable[str], pattern: str, label: Callable[[str, re.Match[str]], Face]
) -> Reading:
    """Return the faces whose labels are in the names of their files, relative paths.

    `label` makes a face of the path and the match of `pattern` with the whole name, without
    folders. Other names are dropped.
    """
    faces, dropped, form = [], Counter[str](), re.compile(pattern)
    for file in files:
        if match := form.fullmatch(file.rpartition("/")[2]):
            faces.append(label(file, match))
        else:
            dropped["malformed name"] += 1
    return Reading(faces, dropped)


def table(
    path: Path,
    columns: Iterable[str],
    label: Callable[[Mapping[str, str]], Face | str],
    delimiter: str = ",",
) -> Reading:
    """Return the faces in a published table.

    Args:
        path: of the table; its first line names the columns.
        columns: the required ones; there may be others.
        label: makes a face of a row, or returns the reason for leaving it out; raises
            ValueError for a bad label.
        delimiter: between columns.

    Raises:
        DatasetError: the table is missing, unreadable, truncated, or has a bad label.
    """
    faces: list[Face] = []
    dropped = Counter[str]()
    for found in read_rows(path, columns, lambda row: label(_whole(row)), COPY_AGAIN, delimiter):
        if isinstance(found, Face):
            faces.append(found)
        else:
            dropped[found] += 1
    return Reading(faces, dropped)


def _whole(row: Mapping[str, str | None]) -> dict[str, str]:
    """Return the row, its texts stripped; ValueError if it has fewer columns than the first."""
    if None in row.values():
        raise ValueError("the line is truncated")
    return {name: str(text).strip() for name, text in row.items() if name is not None}


def join(readings: Iterable[Reading]) -> Reading:
    """Join the parts of a set in their order."""
    faces: list[Face] = []
    dropped = Counter[str]()
    for reading in readings:
        faces += reading.faces
        dropped += reading.dropped
    return Reading(faces, dropped)
