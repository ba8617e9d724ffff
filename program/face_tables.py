"""Tables of faces: the one that predict.py writes, and embeddings that it reads.

`predict.py --features FILE.csv` reads embeddings made elsewhere, one face a line: as many
numbers as the heads of `--weights` take, optionally after a column with the face's name. The
first line may be a header.
"""

import contextlib
import csv
import io
import json
import re
import sys
from array import array
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from errors import SinkError, SourceError, WeightsError
from estimators.age import SpreadScale
from files import (
    begins_with,
    check_apart,
    check_ours,
    check_writable,
    let_go_of_stdout,
    sink_error,
    sole_writer,
    write_whole,
)
from people.wording import as_face_cells, counted
from structures import ETHNICITIES, Detections, Estimates, Float32

Row = dict[str, str | int | float]
Heads = Callable[[Float32], dict[str, Float32]]

DEFAULT_HEADS = "facenet_embedding"  # reads FaceNet's 512 numbers
_PLACE = ["x1", "y1", "x2", "y2", "score"]
_BATCH = 1024  # embeddings
_LENGTH_TOLERANCE = 0.01


def columns(attributes: Collection[str], places: bool = True) -> list[str]:
    """The table's columns for a choice of `structures.ATTRIBUTES`.

    `places`: whether the faces have boxes and scores.
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


def is_face_table(path: Path) -> bool:
    """Whether a file begins as the tables of `write_table` do."""
    csv_or_json = (
        rb"file,face(,[xy][12]|,score|,gender|,\w+_years|,\w+_prob)*\n"
        rb'|\[\s*\{\s*"file": "[^\n]*",\s*"face": \d|\[\]$'
    )
    return begins_with(path, csv_or_json)


@contextlib.contextmanager
def sole_table(path: str | None, inputs: Iterable[Path]) -> Iterator[bool]:
    """Keep the table's file for this run, once it is sure that nothing else is lost with it.

    Args:
        path: of the table; None is standard output.
        inputs: what is read.

    Yields:
        Whether it replaces that of an earlier run.

    Raises:
        SinkError: it cannot be written, is one of `inputs`, was not made by this program, or
            another run writes it.
    """
    if path is None:
        if sys.stdout is None:  # it was closed before Python started
            raise SinkError("standard output is closed; open it or name a file with --table")
        yield False
        return
    check_apart([check_writable(path, (".csv", ".json"))], inputs)
    with sole_writer([Path(path)]):
        yield check_ours(Path(path), is_face_table)


def write_table(
    path: str | None, rows: Sequence[Row], names: Sequence[str], as_json: bool = False
) -> None:
    """Write the columns `names` of `rows`, to standard output where `path` is None.

    Of a file its ending says whether it is JSON, else `as_json`.

    A .csv or .json file is written whole or not at all. Characters that the encoding lacks
    (file names need not be text) are written as escapes with a backslash.

    Raises:
        SinkError: it cannot be written.
    """
    if path is None:
        _print(_as_json(rows, names) + "\n" if as_json else _as_csv(rows, names))
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


def read_features(path: Path, width: int) -> tuple[list[str], Float32]:
    """Read a table of embeddings with `width` numbers each.

    Commas, semicolons, tabs or blanks separate them; with semicolons or tabs the decimal sign
    may be a comma.

    Returns:
        The name of each face, "" where it has none, and (N, width) float32, N >= 1.

    Raises:
        SourceError: missing, unreadable, empty, or a line has something else than `width` finite
            numbers; that line is named.
    """
    names: list[str] = []
    numbers = array("f")  # packed: a list of Python's numbers takes 14 times as much
    try:
        with path.open(newline="", encoding=_encoding(path)) as lines:
            for line, name, values in _numbered(_fields(lines, width), width):
                try:
                    numbers.frombytes(_as_row(values, width).tobytes())
                except ValueError as error:
                    raise SourceError(f"{path}, line {line}: {error}") from error
                names.append(name)
    except (UnicodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read: {error}; save it as UTF-8") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}; check the path") from error
    if not names:
        raise SourceError(f"{path} holds no embeddings; want {width} numbers in each line")
    return names, np.frombuffer(numbers, np.float32).reshape(-1, width)


def _encoding(path: Path) -> str:
    """Return UTF-16 for what begins with its mark, as spreadsheets write it, else UTF-8."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig"


def _as_row(texts: Sequence[str], width: int) -> Float32:
    """Return the numbers of a line, (width,) float32; ValueError says which is wrong."""
    row = np.array([float(text) for text in texts], np.float64)
    if len(row) != width:
        raise ValueError(f"want {width} numbers, got {len(row)}")
    bad = ~(np.abs(row) <= np.finfo(np.float32).max)  # nan is bad, too
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(f"number {first + 1} is {texts[first]}")
    return row.astype(np.float32)


def _fields(lines: IO[str], width: int) -> Iterator[list[str]]:
    """Yield the texts of each line."""
    first = next((line for line in lines if line.strip()), "")
    lines.seek(0)
    delimiter = _delimiter(first, width)
    if delimiter == " ":
        yield from map(str.split, lines)
        return
    for fields in csv.reader(lines, delimiter=delimiter, skipinitialspace=True):
        yield fields if delimiter == "," else [_with_point(field) for field in fields]


def _delimiter(line: str, width: int) -> str:
    """Return what separates the texts of a line, from how many there would be."""
    for delimiter in ";\t, ":
        count = len(line.split()) if delimiter == " " else line.count(delimiter) + 1
        if count in (width, width + 1):
            return delimiter
    counts = {delimiter: line.count(delimiter) for delimiter in ",;\t"}
    most = max(counts, key=lambda each: counts[each])
    return most if counts[most] or len(line.split()) < 2 else " "


def _with_point(text: str) -> str:
    """Return a number with a decimal point; other texts as they are."""
    return (
        text.replace(",", ".")
        if re.fullmatch(r"\s*[-+]?\d*,\d+(e[-+]?\d+)?\s*", text, re.I)
        else text
    )


def _numbered(lines: Iterator[list[str]], width: int) -> Iterator[tuple[int, str, list[str]]]:
    """Line number, name and texts of each face; a header and empty lines are skipped.

    The first face decides whether there is a column of names.
    """
    named = None
    for line, fields in enumerate(lines, start=1):
        if not fields or (line == 1 and _is_header(fields, width)):
            continue
        if named is None:
            named = len(fields) == width + 1 or not _is_number(fields[0])
        yield line, fields[0] if named else "", fields[named:]


def _is_header(fields: list[str], width: int) -> bool:
    """Whether the columns after the first have names, all different, or are only numbered."""
    titles = [field.strip() for field in fields[1:]]
    if not any(map(_is_number, titles)):
        return not _is_number(fields[0]) and all(titles) and len({*titles}) == len(titles)
    return fields[-width:] in ([str(i + first) for i in range(width)] for first in (0, 1))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def restore_length(features: Float32, path: str) -> int:
    """Divide those of (N, W) embeddings by their lengths that are not 1; returns how many.

    FaceNet's embeddings have length 1, and its heads answer nonsense for any other. Within 1 %
    they are rounded, and stay as they are. SourceError if one is nothing but zeros.
    """
    lengths = np.sqrt(np.einsum("nw,nw->n", features, features, dtype=np.float64))
    if not lengths.all():
        raise SourceError(f"{path}, face {int(lengths.argmin()) + 1}: the embedding is all zeros")
    wrong = np.abs(lengths - 1) > _LENGTH_TOLERANCE
    features[wrong] = (features[wrong] / lengths[wrong, None]).astype(np.float32)
    return int(wrong.sum())


def estimate_features(
    features: Float32, heads: Heads, spread_scale: SpreadScale, batch: int = _BATCH
) -> Estimates:
    """Run heads on (N, W) float32 embeddings, `batch` at a time.

    Raises:
        WeightsError: the answers are no numbers.
    """
    from estimators import decode

    parts = [heads(features[i : i + batch]) for i in range(0, len(features), batch)]
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return decode(outputs, spread_scale)


def predict_features(
    path: str,
    table: str | None,
    weights_name: str | None,
    attributes: Collection[str],
    as_json: bool = False,
) -> str:
    """Read embeddings, describe them and write `table`; returns a summary.

    `weights_name` is that of the heads, None = `DEFAULT_HEADS`; `as_json` as for `write_table`.

    Raises:
        StreamError: a bad line, bad weights, or a table that cannot be written.
    """
    from estimators.facenet import FaceNetHeads
    from estimators.weights import find_weights, read_manifest

    weights = find_weights(weights_name or DEFAULT_HEADS, "facenet")
    heads = FaceNetHeads(weights.path("onnx"))
    names, features = read_features(Path(path), heads.width)
    restored = 0
    if heads.reads == "embedding" and weights.name in read_manifest()["models"]:
        restored = restore_length(features, path)
    estimates = estimate_features(features, heads, weights.spread_scale)
    if "ethnicity" in attributes and estimates.ethnicity_probs is None:
        raise WeightsError(f"the weights {weights.name} do not estimate ethnicity; leave it out")
    rows: list[Row] = [
        {"file": name, "face": i + 1, **as_face_cells(estimates, i)} for i, name in enumerate(names)
    ]
    write_table(table, rows, columns(attributes, places=False), as_json)
    note = f"; {restored} were not of unit length, which was restored" * bool(restored)
    return f"{counted(len(rows), 'face')} in {path}{note}"
