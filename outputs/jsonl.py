"""The sink that writes records down: JSON lines, one object a line (docs/events.md)."""

import contextlib
import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from io import FileIO
from pathlib import Path

from errors import SinkError
from files import (
    Outage,
    begins_with,
    check_writable,
    ends_with_line,
    is_special,
    is_taken,
    let_go_of_stdout,
    named_after,
    sink_error,
    write_lines,
)
from outputs.delivery import RecordSink
from people.records import Record, Recorder, to_json

log = logging.getLogger(__name__)


def is_events(path: Path) -> bool:
    """Whether a file begins with a record of ours."""
    return begins_with(path, rb'\{"schema":\d+,')


def of_day(path: Path, when: datetime) -> Path:
    """Return the name of a day's file, where the user gave `path`."""
    return path.with_stem(f"{path.stem}-{when:%Y%m%d}")


class EventsWriter(RecordSink):
    """A sink that appends every record as a line, each written out at once.

    A killed process loses nothing. The file is made with the first frame. Where a disk is
    full, one warning is logged, `failed` is set, and records are left out until there is room.

    Args:
        path: of the file; "-" is standard output.
        recorder: makes the records.
        live: append to a file of an earlier run, with a record that this one is online; what
            this program did not make is kept, and the file named after the time. Else one
            that exists is replaced.
        daily: begin a new file every day (UTC), with the day behind its name.
        clock: returns the time in UTC.

    Attributes:
        left_out: records that could not be written so far.

    Raises:
        SinkError: the file cannot be made there, or standard output is closed.
    """

    takes_frames = True

    def __init__(
        self,
        path: str | Path,
        recorder: Recorder,
        live: bool = False,
        daily: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(recorder)
        self._live, self._clock = live, clock
        self._to_stdout = str(path) == "-"
        if self._to_stdout and sys.stdout is None:
            raise SinkError("standard output is closed; open it or name a file")
        self._path = Path(path) if self._to_stdout else check_writable(path)
        self._named = self._path  # by the user
        self._daily = daily and not is_special(self._path)
        self._day: date | None = None
        self._file: FileIO | None = None
        self._outage = Outage("records are left out until there is room, everything else continues")
        self.left_out = 0

    @property
    def failed(self) -> SinkError | None:
        """Why records were left out, the last of them; None = none was."""
        return self._outage.failed

    @property
    def writing(self) -> Path | None:
        """The file that is open; None = none is."""
        return self._path if self._file is not None else None

    def _take(self, records: Sequence[Record], camera: str | None) -> None:
        for record in records:
            try:
                self._write(to_json(record) + "\n")
            except OSError as error:
                self._lose(error)

    def _write(self, line: str) -> None:
        if self._to_stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        if self._daily:
            self._turn_page()
        if self._file is None:
            self._file = self._open()
        write_lines(self._file, line.encode())

    def _turn_page(self) -> None:
        """Finish the file of a day that is over."""
        now = self._clock()
        if self._day != now.date():
            file, self._file = self._file, None
            self._day, self._path = now.date(), of_day(self._named, now)
            if file is not None:
                file.close()

    def _open(self) -> FileIO:
        if not self._live or not is_taken(self._path):
            return self._path.open("wb", buffering=0)
        if not is_events(self._path):
            self._path = named_after(self._path, datetime.now(UTC))
        end = "" if ends_with_line(self._path) else "\n"  # of a record that was cut short
        online = to_json(self._recorder.program("online"))
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(self._path.open("ab", buffering=0))
            write_lines(file, f"{end}{online}\n".encode())
            stack.pop_all()
        return file

    def _lose(self, error: OSError) -> None:
        """Leave a record out.

        Raises:
            SinkError: it is no ordinary file, and nobody will read what follows.
        """
        problem = sink_error("standard output" if self._to_stdout else self._path, error)
        if self._to_stdout or is_special(self._path):
            self._abandon()
            raise problem from error
        self.left_out += 1
        self._outage.note(problem)

    def _finish(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
        if self.left_out:
            log.warning("%s: %d records were left out", self._path, self.left_out)

    def _abandon(self) -> None:
        """Let go of what could not be written, which would fail again when the program ends."""
        if self._to_stdout:
            let_go_of_stdout()
        elif self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None
        self._closed = True
