"""The sink that writes the audience report: one page, which is whole at any time."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from errors import SinkError
from files import Outage, check_writable, is_taken, named_after, sink_error, write_whole
from outputs.delivery import RecordSink
from people.records import Record, Recorder
from people.report.page import page_of
from people.report.presence import presence_of
from people.report.tally import NEWEST, Tally

REFRESH_S = 600.0


class AudienceWriter(RecordSink):
    """A sink that counts who left, and writes the page at the end; of a live source also before.

    It is written once the first aggregate record is there and then every ten minutes. Where a
    disk is full, one warning is logged, `failed` is set, and the old page stays.

    Args:
        path: of the page.
        recorder: makes the records.
        live: keep a file that exists, and name the new one after the time; else it is replaced.
        clock: seconds, monotonic.

    Raises:
        SinkError: the file cannot be made there, or jinja2 is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        recorder: Recorder,
        live: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(recorder)
        self._path, self._live, self._clock = check_writable(path, (".html",), True), live, clock
        page_of(None)  # loads what it needs before anything takes time
        self._tally = Tally(NEWEST)
        self._made = False
        self._due_s = clock() + 60
        self._outage = Outage("the report waits until there is room, everything else continues")

    @property
    def failed(self) -> SinkError | None:
        """Why the page could not be written the last time; None = it always could."""
        return self._outage.failed

    def _take(self, records: Sequence[Record], camera: str | None) -> None:
        for record in records:
            self._tally.add(record)
        if self._live and self._clock() >= self._due_s:
            self._due_s = self._clock() + REFRESH_S
            self._save()

    def _finish(self) -> None:
        if self._tally.runs:
            self._save()

    def _save(self) -> None:
        try:
            if not self._made and self._live and is_taken(self._path):
                self._path = named_after(self._path, datetime.now(UTC))
            write_whole(self._path, page_of(presence_of(self._tally)).encode())
            self._made = True
        except OSError as error:
            self._outage.note(sink_error(self._path, error))
