"""The sink that writes down every frame: JSON lines, one object per frame.

    {"schema": 1, "index": 7, "time_s": 0.28, "utc": "2026-01-31T12:00:00.280+00:00",
     "epoch": 0, "fps": 24.9, "dropped": 0,
     "tracks": [{"id": 3, "box": [10.5, 20.0, 80.2, 101.7], "detected": true,
                 "age_years": 34.2, "age_uncertainty_years": 3.9, "female_prob": 0.93,
                 "gender": "female", "samples": 12,
                 "ethnicity": {"White": 0.1, "Black": 0.05, ...}}]}

`box` is xyxy in pixels and may leave the picture; `detected` is false where the tracker
only foretells the place. Before a track's first estimate its values are null and
`samples` is 0. Only the attributes that were asked for are there; `utc` is the time at which
the line was written.
"""

import contextlib
import json
import math
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from errors import SinkError
from structures import ATTRIBUTES, ETHNICITIES, FrameResult, Image, Smoothed, Track
from video.outputs import check_writable, let_go_of_stdout, sink_error

SCHEMA = 1


class EventsWriter:
    """A sink that appends one line per frame, each written out at once.

    A killed process loses nothing. The file is made, and one that exists replaced, with
    the first frame.

    Args:
        path: of the file; "-" is standard output.
        attributes: which of `structures.ATTRIBUTES` to tell.

    Raises:
        SinkError: the file cannot be made there, or standard output is closed.
    """

    wants_picture = False

    def __init__(self, path: str | Path, attributes: Collection[str] = ATTRIBUTES) -> None:
        self._attributes = attributes
        self._to_stdout = str(path) == "-"
        if self._to_stdout and sys.stdout is None:
            raise SinkError("standard output is closed; open it or name a file")
        self._path = Path(path) if self._to_stdout else check_writable(path)
        self._file: TextIO | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Write one line; the picture is not used. See `video.Sink.write`."""
        if self._closed:
            raise ValueError("write() after close(), got a frame")
        line = json.dumps(
            frame_record(result, self._attributes), separators=(",", ":"), allow_nan=False
        )
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            self._abandon()
            name = "standard output" if self._to_stdout else self._path
            raise sink_error(name, error) from error

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Nothing to do. See `video.Sink.refresh`."""

    def close(self) -> None:
        """Close the file, but not standard output; may be called again."""
        self._closed = True
        if self._file is not None and not self._to_stdout:
            self._file.close()
        self._file = None

    def _open(self) -> TextIO:
        if self._to_stdout:
            return sys.stdout
        return self._path.open("w", encoding="utf-8", newline="\n")

    def _abandon(self) -> None:
        """Let go of what could not be written, which would fail again when the program ends."""
        if self._to_stdout:
            let_go_of_stdout()
        elif self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None
        self._closed = True


def frame_record(result: FrameResult, attributes: Collection[str] = ATTRIBUTES) -> dict[str, Any]:
    """Return what is known of a frame, ready for `json.dumps`."""
    people = result.people
    return {
        "schema": SCHEMA,
        "index": result.frame.index,
        "time_s": _rounded(result.frame.time_s, 6),
        "utc": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "epoch": result.frame.epoch,
        "fps": _rounded(result.fps, 2),
        "dropped": result.dropped,
        "tracks": [_track_record(t, people.get(t.track_id), attributes) for t in result.tracks],
    }


def _track_record(
    track: Track, person: Smoothed | None, attributes: Collection[str]
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": track.track_id,
        "box": [_rounded(side, 1) for side in track.box],
        "detected": track.time_since_update == 0,
        "samples": person.samples if person else 0,
    }
    if "age" in attributes:
        record["age_years"] = _rounded(person.age_years, 2) if person else None
        spread = _rounded(person.age_uncertainty_years, 2) if person else None
        record["age_uncertainty_years"] = spread
    if "gender" in attributes:
        record["female_prob"] = _rounded(person.female_prob, 4) if person else None
        record["gender"] = person.gender.value if person else None
    if "ethnicity" in attributes and person and person.ethnicity_probs is not None:
        shares = (_rounded(share, 4) for share in person.ethnicity_probs)
        record["ethnicity"] = dict(zip(ETHNICITIES, shares, strict=True))
    return record


def _rounded(value: float, digits: int) -> float | None:
    """Return a plain float of so many digits; None where JSON has no such number."""
    value = float(value)
    return round(value, digits) if math.isfinite(value) else None
