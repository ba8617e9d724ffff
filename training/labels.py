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
two columns, `race` in place of ethnicity, `sex` in place of gender, names with capitals or
blanks, genders as 0 and 1 (UTKFace's polarity: 0 is male) or m and f, ethnicities by number,
FairFace's seven names; semicolons or tabs between columns.
"""

import csv
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from errors import DatasetError
from structures import ETHNICITIES
from training.csv_rows import read_rows
from training.result_files import writing

COLUMNS = ("file", "age_min", "age_max", "gender", "ethnicity", "person", "group", "split")
# "70 and over" needs an upper end; almost nobody in the sets is older.
OLDEST_YEARS = 100.0
MOST_YEARS = 120  # what lies above is a typing error, or a year of birth
GENDERS = ("male", "female")

Box = tuple[float, float, float, float]  # xyxy, pixels

_T = TypeVar("_T")
_FEMALE = {
    **dict.fromkeys(("male", "m", "0", "0.0", "man"), False),
    **dict.fromkeys(("female", "f", "1", "1.0", "woman"), True),
}
_OTHER_NAMES = {"sex": "gender", "race": "ethnicity"}
_LABELS = ("age", "age_min", "age_max", "gender", "ethnicity")
_KNOWN = {*COLUMNS, "age"}
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
    low = _years(age_min)
    high = _years(age_max) if age_max.strip() else max(low, OLDEST_YEARS)
    if not 0 <= low <= high <= MOST_YEARS:
        got = repr(age_min) if age_max == age_min else f"{age_min!r}..{age_max!r}"
        raise ValueError(f"want ages of 0 to {MOST_YEARS} years, ascending, got {got}")
    return low, high


def _years(text: str) -> float:
    """Return a number, whose decimal sign may be a comma."""
    try:
        return float(re.sub(r"^(\s*\d+),(\d{1,2}\s*)$", r"\1.\2", text))
    except ValueError:
        raise ValueError(f"want an age in years, got {text!r}") from None


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


def read_table(path: Path) -> list[Face]:
    """Read a table of labels; DatasetError as in `read_rows`, or where a file has two rows."""
    remedy = f"make a table of {', '.join(COLUMNS)}"
    faces = list(read_rows(path, ("file",), parse, remedy, None, column_names))
    seen: set[str] = set()
    for face in faces:
        file = posixpath.normpath(face.file.replace("\\", "/"))
        if file in seen:
            raise DatasetError(f"{path} has two rows for {face.file}; delete one of them")
        seen.add(file)
    return faces


def column_names(header: Sequence[str]) -> list[str]:
    """Return the known names of a table's columns, blanks and capitals aside.

    Raises:
        ValueError: two columns say the same, one is nearly a label that no other is, or an
            upper age has no lower one.
    """
    plain = [" ".join(name.split()).casefold().replace(" ", "_") for name in header]
    names = [_OTHER_NAMES.get(name, name) for name in plain]
    for name in filter(None, names):
        if names.count(name) > 1:
            raise ValueError(f"two columns are called {name}")
        if name not in _KNOWN and (meant := _nearly(name)) and meant not in names:
            raise ValueError(f"the column {name!r} is not understood; did you mean {meant}?")
    if "age_max" in names and not {"age_min", "age"} & set(names):
        raise ValueError("age_max wants a column age_min, too (or call it age if it is exact)")
    return names


def _nearly(name: str) -> str | None:
    """Return the label that an unknown column seems to hold."""
    if word := re.match(r"(age|gender|sex|race|ethnicity)(?![a-z])", name):
        return _OTHER_NAMES.get(word[1], word[1])
    return next(iter(get_close_matches(name, _LABELS, 1, 0.8)), None)


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
        if text.get("age_min") or text.get("age_max"):
            raise ValueError("want either age, or age_min and age_max")
        return age_interval(exact, exact)
    if not text.get("age_min"):
        if text.get("age_max"):
            raise ValueError(f"age_max {text['age_max']} has no age_min")
        return None
    return age_interval(text["age_min"], text.get("age_max", ""))


def _ethnicity(text: str) -> int | None:
    number = text.removesuffix(".0")
    if number.isdecimal() and int(number) < len(ETHNICITIES):
        return int(number)
    return _one_of(_ETHNICITY, text, "ethnicity")


def _one_of(known: Mapping[str, _T], text: str, what: str) -> _T | None:
    if not text:
        return None
    if text.lower() not in known:
        raise ValueError(f"want a {what} out of {', '.join(known)}, got {text!r}")
    return known[text.lower()]
