"""Estimates from embeddings that were made elsewhere: `predict.py --features FILE.csv`.

A line of the file is a face: as many numbers as the heads of `--weights` read, perhaps behind
one column of text that names the face. The first line may be a header.
"""

import argparse
import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from errors import SourceError, WeightsError
from estimators.age import decode_age
from estimators.facenet import FaceNetHeads
from estimators.weights import find_weights
from outputs.face_table import Row, check_table, columns, write_table
from people.wording import as_face_cells
from structures import Estimates, Float32

DEFAULT_HEADS = "facenet_embedding"  # reads FaceNet's 512 numbers
_BATCH = 1024


def read_features(path: Path, width: int) -> tuple[list[str], Float32]:
    """Read a file of embeddings.

    Args:
        path: a CSV file.
        width: how many numbers a face has to have.

    Returns:
        The name of each face, "" where it has none, and (N, width) float32, N >= 1.

    Raises:
        SourceError: missing, unreadable, empty, or a line has something else than `width` finite
            numbers; that line is named.
    """
    names, rows = [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            for line, (name, values) in _rows(csv.reader(lines), width):
                try:
                    row = [float(value) for value in values]
                except ValueError as error:
                    raise SourceError(f"{path}, line {line}: {error}") from error
                if len(row) != width:
                    raise SourceError(f"{path}, line {line}: want {width} numbers, got {len(row)}")
                if not all(map(math.isfinite, row)):
                    bad = next(i for i, value in enumerate(row) if not math.isfinite(value))
                    raise SourceError(f"{path}, line {line}: number {bad + 1} is {values[bad]}")
                names.append(name)
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SourceError(f"{path} cannot be read: {reason}; check the path") from error
    if not rows:
        raise SourceError(f"{path} holds no embeddings; want {width} numbers in each line")
    features = np.array(rows, np.float64)
    if np.abs(features).max() > np.finfo(np.float32).max:
        raise SourceError(f"{path} holds numbers that are far too large for embeddings")
    return names, features.astype(np.float32)


def _rows(lines: Iterator[list[str]], width: int) -> Iterator[tuple[int, tuple[str, list[str]]]]:
    """Number, name and texts of the lines that are faces; a header and empty lines are left out.

    The first face decides whether there is a column of names.
    """
    named = None
    for line, fields in enumerate(lines, start=1):
        if not fields or (line == 1 and _is_header(fields, width)):
            continue
        if named is None:
            named = len(fields) == width + 1 or not _is_number(fields[0])
        yield line, (fields[0] if named else "", fields[named:])


def _is_header(fields: list[str], width: int) -> bool:
    """Whether there are no numbers behind the first column, or only those that count columns."""
    if not any(map(_is_number, fields[1:])):
        return not _is_number(fields[0])
    return fields[-width:] in ([str(i + first) for i in range(width)] for first in (0, 1))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def estimate_features(features: Float32, heads: FaceNetHeads, spread_scale: float) -> Estimates:
    """What heads tell of (N, W) float32 embeddings."""
    parts = [heads(features[i : i + _BATCH]) for i in range(0, len(features), _BATCH)]
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    years, spread = decode_age(outputs["age"], spread_scale)
    return Estimates(years, spread, outputs["gender"][:, 1], outputs.get("race"))


def predict_features(options: argparse.Namespace) -> str:
    """Read `program.options.features` and write the table; returns a summary.

    Raises:
        StreamError: a bad line, weights or a table that cannot be written.
    """
    check_table(options.table)
    weights = find_weights(options.weights or DEFAULT_HEADS, "facenet")
    heads = FaceNetHeads(weights.path("onnx"))
    names, features = read_features(Path(options.features), heads.width)
    estimates = estimate_features(features, heads, weights.spread_scale)
    if "ethnicity" in options.attributes and estimates.ethnicity_probs is None:
        raise WeightsError(f"the weights {weights.name} do not tell ethnicity; leave it out")
    rows: list[Row] = [
        {"file": name, "face": i + 1, **as_face_cells(estimates, i)} for i, name in enumerate(names)
    ]
    write_table(options.table, rows, columns(options.attributes, places=False))
    return f"{len(rows)} faces in {options.features}"
