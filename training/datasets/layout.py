"""What the readers share: finding pictures, and reading tables line by line."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from errors import DatasetError
from training.datasets import Reading
from training.labels import Face

COPY_AGAIN = "copy or unpack the set again"


def pictures(folder: Path, suffix: str = ".jpg") -> Iterator[str]:
    """Paths of the files in `folder` and those below, relative to it, in order.

    Args:
        folder: hidden files in it are left out.
        suffix: how their names end, in small or large letters.
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
        pattern: of the whole name, without folders; names of another form are dropped.
        label: makes a face of the relative path and what the pattern matched.
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
    """Faces that a published table names.

    Args:
        path: of the table; its first line names the columns.
        columns: those that are needed; there may be others.
        label: makes a face of a row, or returns the reason for leaving it out; raises
            ValueError where a label is none.
        delimiter: between columns.

    Raises:
        DatasetError: the table is missing, unreadable, broken off, or has a wrong label.
    """
    faces: list[Face] = []
    dropped = Counter[str]()
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines, delimiter=delimiter)
            if missing := [name for name in columns if name not in (rows.fieldnames or ())]:
                raise DatasetError(f"{path} has no column {missing[0]}; {COPY_AGAIN}")
            for row in rows:
                try:
                    found = label(_whole(row))
                except ValueError as error:
                    raise DatasetError(
                        f"{path}, line {rows.line_num}: {error}; correct it, or {COPY_AGAIN}"
                    ) from error
                if isinstance(found, Face):
                    faces.append(found)
                else:
                    dropped[found] += 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DatasetError(f"cannot read the table {path}: {reason}; {COPY_AGAIN}") from error
    return Reading(faces, dropped)


def _whole(row: Mapping[str, str | None]) -> dict[str, str]:
    """The row with blanks around its texts taken off.

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
