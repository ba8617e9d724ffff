"""What the networks said of a film, recorded by `--events-full`: JSON lines, read frame by frame.

    film        the first line: which film, which settings (`program.replay` makes it)
    raw         every frame: its faces, with the estimates that were made of them
    end         the last line of a whole file: how many frames there are

Numbers come back exactly as they were: a float32 is written with as many digits as it takes.
docs/events-full.schema.json has every field. A name ending in .gz means compressed by gzip.
"""

import gzip
import json
import logging
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from errors import SourceError
from files import is_special
from sources import Source
from structures import Detections, Estimates, Float32, Frame, RawValues, SourceStatus

SCHEMA = 1
_MOST_BYTES = 2**24  # of a line; a frame with 1,600 faces has 2**19
_LARGEST = 1e30  # a number beyond is none of ours
_TWO_RUNS = "holds two runs; record each anew, in a file of its own"

Record = dict[str, Any]

log = logging.getLogger(__name__)


def as_record(frame: Frame, raw: RawValues, run: str) -> Record:
    """The record of one frame of a run."""
    faces = _faces(raw.detections)
    for row, estimate in zip(raw.rows, _estimates(raw), strict=True):
        faces[row]["estimate"] = estimate
    return {
        "type": "raw",
        "run": run,
        "index": frame.index,
        "time_s": frame.time_s,
        "epoch": frame.epoch,
        "size_wh": list(frame.size_wh),
        "searched": raw.searched,
        "faces": faces,
    }


def _faces(found: Detections) -> list[Record]:
    columns = (_digits(found.boxes), _digits(found.scores), _digits(found.landmarks))
    names = ("box", "score", "landmarks")
    return [dict(zip(names, each, strict=True)) for each in zip(*columns, strict=True)]


def _estimates(raw: RawValues) -> list[Record]:
    made = raw.estimates
    if made is None:
        return []
    columns = {
        "age_years": _digits(made.age_years),
        "age_spread_years": _digits(made.age_spread_years),
        "female_prob": _digits(made.female_prob),
        "weight": _digits(raw.weights),
    }
    if made.ethnicity_probs is not None:
        columns["ethnicity_probs"] = _digits(made.ethnicity_probs)
    return [dict(zip(columns, each, strict=True)) for each in zip(*columns.values(), strict=True)]


def _digits(values: Float32) -> list[Any]:
    """Nested lists of the shortest numbers that are these float32 and no others."""
    if values.ndim > 1:
        return [_digits(each) for each in values]
    return [float(str(each)) for each in values]


def from_record(record: Record) -> RawValues:
    """The inverse of `as_record`; one of the errors of `json` and numpy for what is none."""
    faces = record["faces"]
    detections = Detections(
        as_floats([face["box"] for face in faces], 4),
        as_floats([face["score"] for face in faces]),
        as_floats([face["landmarks"] for face in faces], 5, 2),
    )
    rows = tuple(row for row, face in enumerate(faces) if "estimate" in face)
    if not rows:
        return RawValues(detections, bool(record["searched"]))
    made = [faces[row]["estimate"] for row in rows]
    weights = as_floats([each["weight"] for each in made])
    if (weights < 0).any() or (weights > 1).any():
        raise ValueError(f"want weights in 0..1, got {weights}")
    has_ethnicity = "ethnicity_probs" in made[0]
    estimates = Estimates(
        as_floats([each["age_years"] for each in made]),
        as_floats([each["age_spread_years"] for each in made]),
        as_floats([each["female_prob"] for each in made]),
        as_floats([each["ethnicity_probs"] for each in made], 5) if has_ethnicity else None,
    )
    return RawValues(detections, bool(record["searched"]), rows, estimates, weights)


def as_floats(values: list[Any], *shape: int) -> Float32:
    """An array of `shape` for each of the values; ValueError or TypeError where they are none."""
    numbers = np.array(values, np.float64).reshape(len(values), *shape)
    if not (np.abs(numbers) < _LARGEST).all():
        raise ValueError("want finite numbers")
    return numbers.astype(np.float32)


class RawReader:
    """Reads a file of `--events-full` line by line, a frame at a time; must be closed.

    Args:
        path: of the file.

    Attributes:
        path: likewise.
        film: the first record.
        damage: why there is no more, in words; empty where the file is whole, or not read to its
            end.

    Raises:
        SourceError: it cannot be read, or is none.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.damage = path, ""
        if is_special(path):
            raise SourceError(f"{path} is no file; give the one that --events-full wrote")
        try:
            with path.open("rb") as file:
                packed = file.read(2) == b"\x1f\x8b"
            self._file = gzip.open(path, "rb") if packed else path.open("rb")  # noqa: SIM115
        except OSError as error:
            raise SourceError(
                f"{path} cannot be read: {error.strerror}; check the path of --replay"
            ) from None
        self._line = 1
        self.film = self._next() or {}
        if self.film.get("type") != "film":
            self._refuse("was not written by --events-full (--events keeps less); record it anew")
        if self.film.get("schema") != SCHEMA:
            self._refuse(f"has another schema than {SCHEMA}; record it anew with this version")

    def __iter__(self) -> Iterator[Record]:
        """Yield the records of the frames, in order; what is damaged or cut off ends them.

        Raises:
            SourceError: a record of another run stands among them, or there is none at all.
        """
        while (record := self._next()) is not None:
            if record.get("run") != self.film.get("run"):
                self._refuse(_TWO_RUNS)
            if record.get("type") == "end" and self._next() is None:
                return
            if record.get("type") != "raw":
                self._refuse(_TWO_RUNS)
            yield record
        if self._line <= 2:
            self._refuse("holds no frame; record it anew")
        self.damage = f"is cut off or damaged in line {self._line}"

    def _next(self) -> Record | None:
        """The next record; None where there is no more that is whole."""
        try:
            line = self._file.readline(_MOST_BYTES)
            record = json.loads(line)
        except (OSError, EOFError, zlib.error, ValueError, RecursionError):
            return None
        self._line += 1
        return record if isinstance(record, dict) else None

    def _refuse(self, problem: str) -> NoReturn:
        self.close()
        raise SourceError(f"{self.path} {problem}")

    def close(self) -> None:
        """Close the file; may be called again."""
        self._file.close()


class ReplayedFilm:
    """`sources.Source`: a film whose frames carry their raw values, and which ends with these.

    Args:
        film: the one of then.
        reader: of its raw values.
    """

    is_live = False

    def __init__(self, film: Source, reader: RawReader) -> None:
        self.fps, self.size_wh, self.name = film.fps, film.size_wh, film.name
        self.frame_count = film.frame_count
        self._film, self._reader, self._records = film, reader, iter(reader)

    @property
    def dropped(self) -> int:
        """See `sources.Source`."""
        return self._film.dropped

    @property
    def status(self) -> SourceStatus:
        """See `sources.Source`."""
        return self._film.status

    def take(self, timeout_s: float | None = None) -> Frame | None:
        """See `sources.Source`.

        Raises:
            SourceError: the raw values are of another film, or not what they must be.
        """
        try:
            frame = self._film.take(timeout_s)
        except StopIteration:
            next(self._records, None)  # what follows may be damaged
            self._tell_end("")
            raise
        if frame is None:
            return None
        record = next(self._records, None)
        if record is None:
            self._tell_end("has no more frames")
            raise StopIteration
        try:
            if (record["index"], record["size_wh"]) == (frame.index, list(frame.size_wh)):
                return replace(frame, raw=from_record(record))
            problem = "is of another one: some are missing, or the film is read differently now"
        except (ValueError, KeyError, TypeError, OverflowError):
            problem = "is not understood"
        where = f"{self._reader.path}: what stands there for frame {frame.index}"
        raise SourceError(f"{where} {problem}; record it anew")

    def _tell_end(self, reason: str) -> None:
        """Say why the film is not replayed to its end, if it is not."""
        if reason := self._reader.damage or reason:
            log.warning("%s %s: replayed up to there", self._reader.path, reason)

    def seek(self, time_s: float) -> bool:
        """The raw values come in one order only. See `sources.Source`."""
        return False

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        while (frame := self.take()) is None:
            pass
        return frame

    def close(self) -> None:
        """See `sources.Source`."""
        self._film.close()
