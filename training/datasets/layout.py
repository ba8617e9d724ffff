"""Shared by the readers: finding pictures, and reading tables line by line."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from training.datasets import Reading
from training.labels import Face, read_rows

COPY_AGAIN = "copy or unpack the set again"


def pictures(folder: Path, suffix: str = ".jpg") -> Iterator[str]:
    """Paths of the files in `folder` and those below, relative to it, in order.

    Args:
        folder: hidden files in it are left out.
        suffix: how their names end, in lower or upper case.
    """
    found = (
        path.relative_to(folder) for path in folder.rglob("*") if not path.name.startswith(".")
    )
    return iter(sorted(path.as_posix() for path in found if path.name.lower().endswith(suffix)))


def named(
    files: Iterable[str], pattern: str, label: Callable[[str, re.Match[str]], Face]
) -> Reading:
    """Faces whose labels are in the names of their files.

    Args:
        files: relative paths.
        pattern: of the whole name, without folders; other names are dropped.
        label: makes a face of the relative path and the match.
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
    """Faces in a published table.

    Args:
        path: of the table; its first line names the columns.
        columns: those that are needed; there may be others.
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
    """The row, its texts stripped.

    Raises:
        ValueError: the line has fewer columns than the first one.
    """
    if None in row.values():
        raise ValueError("the line breaks off")
    return {name: str(text).strip() for name, text in row.items() if name is not None}


def join(readings: Iterable[Reading]) -> Reading:
    """The parts of a set as one, in their order."""
    faces: list[Face] = []
    dropped = Counter[str]()
    for reading in readings:
        faces += reading.faces
        dropped += reading.dropped
    return Reading(faces, dropped)
