"""The labels of a set's faces: one table that all tools here read and write.

A row is a face. Columns of `NAME.csv`, all text, empty where unknown:

    file        of the image or chip, relative to the table or archive
    age_min     youngest age in years that the label allows
    age_max     oldest such age; equal to age_min where the age is exact, empty for "and over"
    gender      male, female
    ethnicity   one of `structures.ETHNICITIES`
    person      who it is, if known; the same text means the same person
    group       faces that must stay on one side of a split: a person, or near duplicates
    split       train, val, test or whatever the set publishes

Reading also accepts the forms of published sets and hand-made tables: `age` in place of the
two columns, `race` in place of ethnicity, genders as 0 and 1 (UTKFace's polarity: 0 is male)
or m and f, ethnicities by number, FairFace's seven names.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from errors import DatasetError
from structures import ETHNICITIES
from training.result_files import writing

COLUMNS = ("file", "age_min", "age_max", "gender", "ethnicity", "person", "group", "split")
# "70 and over" needs an upper end; almost nobody in the sets is older.
OLDEST_YEARS = 100.0
GENDERS = ("male", "female")

Box = tuple[float, float, float, float]  # xyxy, pixels

_T = TypeVar("_T")
_FEMALE = {"male": False, "m": False, "0": False, "female": True, "f": True, "1": True}
# FairFace's names -> our five groups.
_ETHNICITY = {name.lower(): i for i, name in enumerate(ETHNICITIES)} | {
    "east asian": 2,
    "southeast asian": 2,
    "latino_hispanic": 4,
    "middle eastern": 4,
}


@dataclass(frozen=True, slots=True)
class Face:
    """One labelled face.

    Attributes:
        file: relative path, "/" between folders.
        age: youngest and oldest age that the label allows, years; None = unknown.
        female: None = unknown.
        ethnicity: index into `structures.ETHNICITIES`, None = unknown.
        person: who it is, "" = unknown.
        group: faces of the same group stay on one side of a split, "" = on its own.
        split: "" = none is published.
        box: xyxy, pixels of the image: which of its faces this is; None = the only one.
            Chips have none.
    """

    file: str
    age: tuple[float, float] | None = None
    female: bool | None = None
    ethnicity: int | None = None
    person: str = ""
    group: str = ""
    split: str = ""
    box: Box | None = None


def age_interval(age_min: str, age_max: str) -> tuple[float, float]:
    """Parse an age range, such as ("20", "29"), into years.

    An empty `age_max` means "and over": `OLDEST_YEARS`, or the youngest age if that is higher.

    Raises:
        ValueError: the texts are no numbers in ascending order.
    """
    low = float(age_min)
    high = float(age_max) if age_max.strip() else max(low, OLDEST_YEARS)
    if not 0 <= low <= high < float("inf"):
        raise ValueError(f"want an ascending age range, got {age_min!r}..{age_max!r}")
    return low, high


def parse(row: Mapping[str, str | None]) -> Face:
    """Read one row of a table, text by column; ValueError for a bad label."""
    text = {name: (value or "").strip() for name, value in row.items() if name}
    if not text.get("file"):
        raise ValueError("want the name of a file in the column file")
    return Face(
        text["file"],
        _age(text),
        _one_of(_FEMALE, text.get("gender", ""), "gender"),
        _ethnicity(text.get("ethnicity") or text.get("race", "")),
        text.get("person", ""),
        text.get("group", ""),
        text.get("split", ""),
    )


def read_rows(
    path: Path,
    columns: Iterable[str],
    parse_row: Callable[[dict[str, str | None]], _T],
    remedy: str,
    delimiter: str = ",",
) -> Iterator[_T]:
    """Yield what `parse_row` returns for each row of a table; its first line names the columns.

    Args:
        path: of the table.
        columns: the required ones; there may be others.
        parse_row: gets a row, None in columns that it lacks; raises ValueError if it is wrong.
        remedy: what to do about a bad table, for messages.
        delimiter: between columns.

    Raises:
        DatasetError: missing, unreadable, or with a wrong row, whose line is named.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines, delimiter=delimiter)
            if missing := [name for name in columns if name not in (rows.fieldnames or ())]:
                raise DatasetError(f"{path} has no column {missing[0]}; {remedy}")
            for row in rows:
                try:
                    yield parse_row(row)
                except ValueError as error:
                    raise DatasetError(
                        f"{path}, line {rows.line_num}: {error}; correct it, or {remedy}"
                    ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DatasetError(f"cannot read the table {path}: {reason}; {remedy}") from error


def read_table(path: Path) -> list[Face]:
    """Read a table of labels; DatasetError as in `read_rows`."""
    return list(read_rows(path, ("file",), parse, f"make a table of {', '.join(COLUMNS)}"))


def write_table(path: Path, faces: Iterable[Face]) -> None:
    """Write a table of labels, whole or not at all; SinkError if it cannot be written."""
    with writing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(as_texts(face) for face in faces)


def as_texts(face: Face) -> tuple[str, ...]:
    """Return a face's row, one text per column; "" where unknown."""
    low, high = ("", "") if face.age is None else (f"{years:g}" for years in face.age)
    gender = "" if face.female is None else GENDERS[face.female]
    ethnicity = "" if face.ethnicity is None else ETHNICITIES[face.ethnicity]
    return face.file, low, high, gender, ethnicity, face.person, face.group, face.split


def _age(text: Mapping[str, str]) -> tuple[float, float] | None:
    if exact := text.get("age"):
        return age_interval(exact, exact)
    if not text.get("age_min"):
        return None
    return age_interval(text["age_min"], text.get("age_max", ""))


def _ethnicity(text: str) -> int | None:
    if text.isdigit() and int(text) < len(ETHNICITIES):
        return int(text)
    return _one_of(_ETHNICITY, text, "ethnicity")


def _one_of(known: Mapping[str, _T], text: str, what: str) -> _T | None:
    if not text:
        return None
    if text.lower() not in known:
        raise ValueError(f"want a {what} out of {', '.join(known)}, got {text!r}")
    return known[text.lower()]
