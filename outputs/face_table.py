"""The table of faces that predict.py writes: its rows, its columns, CSV or JSON."""

import csv
import io
import json
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from errors import SinkError
from files import check_writable, let_go_of_stdout, sink_error, write_whole
from people.wording import as_face_cells
from structures import ETHNICITIES, Detections, Estimates

Row = dict[str, str | int | float]


_PLACE = ["x1", "y1", "x2", "y2", "score"]


def columns(attributes: Collection[str], places: bool = True) -> list[str]:
    """The table's columns for a choice of `structures.ATTRIBUTES`.

    Args:
        attributes: the choice.
        places: whether it is known where in a picture the faces are.
    """
    names = ["file", "face", *_PLACE * places]
    names += ["age_years", "age_spread_years"] * ("age" in attributes)
    names += ["gender", "female_prob"] * ("gender" in attributes)
    return names + [f"{name.lower()}_prob" for name in ETHNICITIES] * ("ethnicity" in attributes)


def as_rows(path: Path, detections: Detections, estimates: Estimates) -> Iterator[Row]:
    """One row a face with all that is known of it, best detection first."""
    for i in range(len(detections)):
        x1, y1, x2, y2 = (round(float(v), 1) for v in detections.boxes[i])
        yield {
            "file": str(path),
            "face": i + 1,
            **{"x1": x1, "y1": y1, "x2": x2, "y2": y2},
            "score": round(float(detections.scores[i]), 3),
            **as_face_cells(estimates, i),
        }


def check_table(path: str | None) -> None:
    """Make sure that the table can be written to `path`; None is standard output.

    Raises:
        SinkError: it cannot.
    """
    if path is not None:
        check_writable(path, (".csv", ".json"))
    elif sys.stdout is None:  # what Python makes of one that is closed
        raise SinkError("standard output is closed; open it or name a file with --table")


def write_table(path: str | None, rows: Sequence[Row], names: Sequence[str]) -> None:
    """Write the columns `names` of `rows`, to standard output where `path` is None.

    A .csv or .json file is written whole or not at all. What the encoding has no bytes for
    (names of files need not be text) is written as a backslash and its number.

    Raises:
        SinkError: it cannot be written.
    """
    if path is None:
        _print(_as_csv(rows, names))
        return
    is_json = Path(path).suffix.lower() == ".json"
    text = _as_json(rows, names) if is_json else _as_csv(rows, names)
    try:
        write_whole(Path(path), text.encode(errors="backslashreplace"))
    except OSError as error:
        raise sink_error(path, error) from error


def _as_json(rows: Sequence[Row], names: Sequence[str]) -> str:
    return json.dumps([{name: row[name] for name in names} for row in rows], indent=1)


def _as_csv(rows: Sequence[Row], names: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except OSError as error:
        let_go_of_stdout()
        raise sink_error("standard output", error) from error
