"""The sink that writes down every person: a CSV table, one row per track."""

import contextlib
import csv
import io
import itertools
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np

from errors import SinkError
from files import check_writable, sink_error
from structures import ATTRIBUTES, ETHNICITIES, FrameResult, Image, Smoothed

_ALWAYS = (
    "id", "first_seen_s", "last_seen_s", "first_seen_utc", "last_seen_utc", "frames", "samples",
)  # fmt: skip
_BY_ATTRIBUTE = {
    "age": ("age_years", "age_uncertainty_years"),
    "gender": ("gender", "female_prob"),
    "ethnicity": ("ethnicity", "ethnicity_prob"),
}
_GONE_AFTER_S = 10.0  # media time; a tracker gives up on a face long before
_REFRESH_S = 10.0  # wall time: a killed process loses no more than that


def columns(attributes: Collection[str], several: bool = False) -> list[str]:
    """The table's header for a choice of `structures.ATTRIBUTES` and one or several cameras."""
    told = (name for name in ATTRIBUTES if name in attributes)
    camera = ["camera"] if several else []
    return [*camera, *_ALWAYS, *itertools.chain.from_iterable(_BY_ATTRIBUTE[name] for name in told)]


@dataclass(slots=True)
class _Row:
    """What is known of one person; small, and does not grow."""

    first_s: float
    last_s: float
    first_utc: str
    last_utc: str
    camera: str
    frames: int = 0
    person: Smoothed | None = None

    def cells(self, track_id: int) -> dict[str, object]:
        """All columns that there can be; what is not known is left out."""
        cells: dict[str, object] = {
            "camera": self.camera,
            "id": track_id,
            "first_seen_s": f"{self.first_s:.3f}",
            "last_seen_s": f"{self.last_s:.3f}",
            "first_seen_utc": self.first_utc,
            "last_seen_utc": self.last_utc,
            "frames": self.frames,
            "samples": 0,
        }
        person = self.person
        if person is None:
            return cells
        cells |= {
            "samples": person.samples,
            "age_years": f"{person.age_years:.1f}",
            "age_uncertainty_years": f"{person.age_uncertainty_years:.1f}",
            "gender": person.gender.value,
            "female_prob": f"{person.female_prob:.4f}",
        }
        if person.ethnicity_probs is not None:
            top = int(np.argmax(person.ethnicity_probs))
            cells["ethnicity"] = ETHNICITIES[top]
            cells["ethnicity_prob"] = f"{person.ethnicity_probs[top]:.4f}"
        return cells


class PeopleWriter:
    """A sink that keeps a table of the people seen, in the order in which they left.

    "Seen" means detected: `frames` and `last_seen_s` leave out the frames in which the
    tracker only foretold a place. The values are the last ones known. Seconds count from
    the source's beginning; UTC is the time at which the program saw it.

    Rows of people who are gone are final and forgotten, so that a run may last for
    months; behind them the file ends in the rows of those still there, which are
    overwritten every ten seconds. The file is made, and one that exists replaced, with
    the first frame.

    Args:
        path: of the CSV file.
        attributes: which of `structures.ATTRIBUTES` to tell.
        several: whether there are several cameras, each row then names its own. Ids must
            differ between cameras.

    Raises:
        SinkError: the file cannot be made there, or is standard output, which cannot be
            overwritten.
    """

    wants_picture = False

    def __init__(
        self, path: str | Path, attributes: Collection[str] = ATTRIBUTES, several: bool = False
    ) -> None:
        if str(path) == "-":
            raise SinkError("the table of people cannot go to standard output; name a file")
        self._columns = columns(attributes, several)
        self._path = check_writable(path)
        self._file: BinaryIO | None = None
        self._final_bytes = 0  # where the rows of the people gone end
        self._finished: list[tuple[int, _Row]] = []  # of people gone, not yet in the file
        self._rows: dict[int, _Row] = {}
        self._epochs: dict[str, int] = {}
        self._refresh_due = 0.0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Take note of one frame's people; the picture is not used. See `outputs.Sink.write`."""
        if self._closed:
            raise ValueError("write() after close(), got a frame")
        frame = result.frame
        self._finish_rows(result)
        self._epochs[result.camera] = frame.epoch
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for track in result.tracks:
            new = _Row(frame.time_s, frame.time_s, now, now, result.camera)
            row = self._rows.setdefault(track.track_id, new)
            if track.time_since_update == 0:
                row.last_s, row.last_utc = frame.time_s, now
                row.frames += 1
            row.person = result.people.get(track.track_id, row.person)
        if self._finished or time.monotonic() >= self._refresh_due:
            self._save()

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Nothing to do. See `outputs.Sink.refresh`."""

    def close(self) -> None:
        """Write the last rows and close the file; may be called again."""
        if self._closed:
            return
        self._closed = True
        if self._file is not None:
            self._save()
            self._file.close()

    def _finish_rows(self, result: FrameResult) -> None:
        """Set aside the rows of the people who cannot come back under their ids."""
        now_s = result.frame.time_s
        here = {track.track_id for track in result.tracks}
        cut = result.frame.epoch != self._epochs.get(result.camera)
        gone = {
            i: row
            for i, row in self._rows.items()
            if row.camera == result.camera
            and (cut or (i not in here and now_s - row.last_s > _GONE_AFTER_S))
        }
        if gone:  # both at once: Ctrl-C in between would lose or double them
            rest = {i: row for i, row in self._rows.items() if i not in gone}
            self._finished, self._rows = [*self._finished, *gone.items()], rest

    def _save(self) -> None:
        """Append the final rows and, behind them, those that the next call overwrites."""
        try:
            if self._file is None:
                self._file = self._path.open("wb")
            header = b"" if self._final_bytes else ",".join(self._columns).encode() + b"\n"
            final = header + self._table(self._finished)
            # Cut first: killed in between, the table is short of some rows but sound.
            self._file.seek(self._final_bytes)
            self._file.truncate()
            self._file.write(final + self._table(self._rows.items()))
            self._file.flush()
            # Both at once, for Ctrl-C's sake; where it came before, `close` does it all again.
            self._final_bytes, self._finished = self._final_bytes + len(final), []
        except OSError as error:
            self._closed = True
            if self._file is not None:
                with contextlib.suppress(OSError):
                    self._file.close()
            raise sink_error(self._path, error) from error
        self._refresh_due = time.monotonic() + _REFRESH_S

    def _table(self, rows: Iterable[tuple[int, _Row]]) -> bytes:
        text = io.StringIO()
        writer = csv.DictWriter(
            text, self._columns, restval="", extrasaction="ignore", lineterminator="\n"
        )
        writer.writerows(row.cells(track_id) for track_id, row in rows)
        return text.getvalue().encode()
