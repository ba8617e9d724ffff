"""Sinks that write CSV tables: `Table` what they share, `PeopleWriter` with one row per track."""

import csv
import io
import itertools
import time
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, Generic, TypeVar

from errors import SinkError
from files import (
    Outage,
    begins_with,
    check_writable,
    is_special,
    is_taken,
    named_after,
    sink_error,
    write_lines,
)
from people.crowd import Crowd
from people.visits import Visit
from people.wording import COLUMNS, as_cells
from people.zones import Line, Shape
from structures import ATTRIBUTES, FrameResult, Image

T = TypeVar("T")

_ALWAYS = (
    "id", "first_seen_s", "last_seen_s", "first_seen_utc", "last_seen_utc", "frames", "samples",
)  # fmt: skip
_LOOKS = "attention_s", "watched"
_KEPT_S = 10.0  # the source's time for which the row of somebody who left is kept in its place
REFRESH_S = 10.0  # wall time: a killed process loses no more than that


def is_table(path: Path) -> bool:
    """Whether a file begins with the header of a table of ours."""
    return begins_with(path, rb"(camera,)?id,first_seen_s,last_seen_s,")


def columns(
    attributes: Collection[str], several: bool = False, attention: bool = False
) -> list[str]:
    """The table's header for a choice of `structures.ATTRIBUTES` and one or several cameras."""
    asked = (COLUMNS[name] for name in ATTRIBUTES if name in attributes)
    camera = ["camera"] if several else []
    looks = _LOOKS if attention else ()
    return [*camera, *_ALWAYS, *itertools.chain.from_iterable(asked), *looks]


class Table(Generic[T]):
    """A CSV file whose last rows may still change; `T` stands for a row.

    Final rows come first and are forgotten, so that a run may last for months; the others are
    overwritten every ten seconds. The file is made with the first frame. Where a disk is full,
    one warning is logged, `failed` is set, and the rows wait for room.

    Args:
        path: of the CSV file.
        crowd: who is there.
        several: whether there are several cameras, each row then names its own.
        live: keep a file that exists, and name the new one after the time; else it is replaced.
        refresh_s: how often, in seconds, the rows of those who are there are overwritten.

    Raises:
        SinkError: the file cannot be made there, or is standard output, which cannot be
            overwritten.
    """

    wants_picture = False

    def __init__(
        self,
        path: str | Path,
        crowd: Crowd,
        several: bool = False,
        live: bool = False,
        refresh_s: float = REFRESH_S,
    ) -> None:
        if str(path) == "-":
            raise SinkError("a table cannot go to standard output; name a file")
        self._crowd = crowd
        self._columns = self._header(crowd.attributes, several)
        self._path, self._live = check_writable(path), live
        self._file: FileIO | None = None
        self._final_bytes = 0  # where the final rows end
        self._rows: dict[T, None] = {}  # of which the file has no final row yet
        self._refresh_s, self._refresh_due = refresh_s, 0.0
        self._retry_due = 0.0
        self._outage = Outage("the table waits until there is room, everything else continues")
        self._closed = False

    @property
    def failed(self) -> SinkError | None:
        """Why the table could not be written the last time; None = it always could."""
        return self._outage.failed

    @property
    def writing(self) -> Path | None:
        """The file that is open; None = none is yet."""
        return self._path if self._file is not None else None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Take note of one frame's people; no image is used. See `outputs.Sink.write`."""
        if self._closed:
            raise ValueError("write() after close(), got a frame")
        self._crowd.update(result)
        final = self._note(result)
        now_s = time.monotonic()
        if (final or now_s >= self._refresh_due) and now_s >= self._retry_due:
            self._save(final)

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Nothing to do. See `outputs.Sink.refresh`."""

    def close(self) -> None:
        """Write the last rows and close the file; may be called again."""
        if self._closed:
            return
        self._closed = True
        if self._rows or self._file is not None:
            self._save(set())
        if self._file is not None:
            self._file.close()

    def _header(self, attributes: Collection[str], several: bool) -> Sequence[str]:
        """The columns for a choice of `structures.ATTRIBUTES` and one or several cameras."""
        raise NotImplementedError

    def _note(self, result: FrameResult) -> set[T]:
        """Add the rows that follow from a result; return those of all that are final."""
        raise NotImplementedError

    def _cells(self, row: T) -> dict[str, object]:
        """The columns of a row that are known; others than the table's are left out."""
        raise NotImplementedError

    def _save(self, final: Container[T]) -> None:
        """Append the final rows and, behind them, those that the next call overwrites."""
        try:
            if self._file is None:
                if self._live and is_taken(self._path):
                    self._path = named_after(self._path, datetime.now(UTC))
                self._file = self._path.open("wb", buffering=0)
            header = b"" if self._final_bytes else ",".join(self._columns).encode() + b"\n"
            rows = header + self._table(row for row in self._rows if row in final)
            rest = {row: None for row in self._rows if row not in final}
            # Cut first: killed in between, the table is short of some rows but sound.
            self._file.seek(self._final_bytes)
            self._file.truncate()
            write_lines(self._file, rows + self._table(rest))
            # Both at once, for Ctrl-C's sake; where it came before, `close` does it all again.
            self._final_bytes, self._rows = self._final_bytes + len(rows), rest
        except OSError as error:
            self._miss(error)
        self._refresh_due = time.monotonic() + self._refresh_s

    def _miss(self, error: OSError) -> None:
        """Keep the rows for the next time.

        Raises:
            SinkError: it is no ordinary file.
        """
        problem = sink_error(self._path, error)
        if is_special(self._path):
            self._closed = True
            if self._file is not None:
                self._file.close()
            raise problem from error
        self._outage.note(problem)
        self._retry_due = time.monotonic() + self._refresh_s

    def _table(self, rows: Iterable[T]) -> bytes:
        text = io.StringIO()
        writer = csv.DictWriter(
            text, self._columns, restval="", extrasaction="ignore", lineterminator="\n"
        )
        for row in rows:
            cells = self._cells(row)
            writer.writerow(cells | {"camera": no_formula(str(cells.get("camera", "")))})
        return text.getvalue().encode()


def no_formula(text: str) -> str:
    """A text for a cell, with ' in front where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


class PeopleWriter(Table[Visit]):
    """A sink that keeps a table of the people seen.

    "Seen" means detected: `frames` and `last_seen_s` leave out the frames in which the
    tracker only predicted a place. The values are the last ones known. Seconds count from
    the source's beginning; UTC is the time at which the program saw it. Rows are in the order
    of coming, behind those of people who were last seen more than ten seconds earlier. Lines and
    zones that are drawn later have no columns.

    Its crowd is not anonymous.
    """

    def _header(self, attributes: Collection[str], several: bool) -> Sequence[str]:
        shapes = [shape for layout in self._crowd.layouts for shape in layout.shapes]
        return [*columns(attributes, several, self._crowd.attention), *passage_columns(shapes)]

    def _note(self, result: FrameResult) -> set[Visit]:
        self._rows |= dict.fromkeys(self._crowd.here(result.camera))
        return {visit for visit in self._rows if _is_final(visit, result)}

    def _cells(self, row: Visit) -> dict[str, object]:
        return _cells(row) | passage_cells(row.walk.as_json(self._crowd.layout(row.camera)))


def passage_columns(shapes: Iterable[Shape]) -> list[str]:
    """The columns of lines and zones, each once where several cameras have one of that name."""
    found: dict[str, None] = {}
    for each in shapes:
        is_line = isinstance(each, Line)
        ends = (f"line_{each.name}_in", f"line_{each.name}_out")
        found |= dict.fromkeys(ends if is_line else (f"zone_{each.name}_s",))
    return list(found)


def passage_cells(walk: Mapping[str, Any]) -> dict[str, object]:
    """The cells of what person records say of lines and zones."""
    cells: dict[str, object] = {f"zone_{k}_s": s for k, s in walk.get("zones", {}).items()}
    for name, crossed in walk.get("lines", {}).items():
        cells |= {f"line_{name}_{what}": number for what, number in crossed.items()}
    return cells


def _is_final(visit: Visit, result: FrameResult) -> bool:
    """Whether the row of somebody of this result's camera has found its place."""
    if not visit.over or visit.camera != result.camera:
        return False
    frame = result.frame
    return visit.epoch != frame.epoch or frame.time_s - visit.last_s > _KEPT_S


def _cells(visit: Visit) -> dict[str, object]:
    """All columns that there can be; what is not known is left out."""
    return {
        "camera": visit.camera,
        "id": visit.track_id,
        "first_seen_s": f"{visit.first_s:.3f}",
        "last_seen_s": f"{visit.last_s:.3f}",
        "first_seen_utc": _iso(visit.first_utc_s),
        "last_seen_utc": _iso(visit.last_utc_s),
        "frames": visit.frames,
        **as_cells(visit.person),
        **_looks(visit),
    }


def _looks(visit: Visit) -> dict[str, object]:
    seconds = visit.attention.attention_s
    if seconds is None:
        return {}
    watched = str(visit.attention.watched).lower()
    return dict(zip(_LOOKS, (f"{seconds:.2f}", watched), strict=True))


def _iso(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="seconds")
