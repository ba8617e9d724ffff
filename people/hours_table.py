"""The sink that writes down who came and left, hour by hour: a CSV table."""

from pathlib import Path

from files import begins_with
from people.crowd import Crowd
from people.table import REFRESH_S, Table
from structures import FrameResult

_COLUMNS = "hour", "entered", "left", "dwell_s"

Hour = tuple[str, str]  # camera, beginning


def is_hours(path: Path) -> bool:
    """Whether a file begins with the header of a table of ours."""
    return begins_with(path, rb"(camera,)?hour,entered,left,dwell_s")


class HoursWriter(Table[Hour]):
    """A sink that keeps a table of the hours in which somebody came or left.

    Hours are local time; `dwell_s` is how long those who left had been in view, on average, in
    seconds. The numbers are those of aggregate records, also where the crowd is anonymous.

    Args:
        path: of the CSV file.
        crowd: who is there.
        several: whether there are several cameras, each row then names its own.
        live: see `Table`, as for the rest.
        refresh_s: likewise.
    """

    def __init__(
        self,
        path: str | Path,
        crowd: Crowd,
        several: bool = False,
        live: bool = False,
        refresh_s: float = REFRESH_S,
    ) -> None:
        names = ["camera", *_COLUMNS] if several else _COLUMNS
        super().__init__(path, crowd, names, live, refresh_s)
        self._newest: dict[str, str] = {}  # by camera

    def close(self) -> None:
        """End the run, so that the last hour is whole, write it and close the file."""
        self._crowd.end()
        super().close()

    def _note(self, result: FrameResult) -> set[Hour]:
        camera, hours = result.camera, list(self._crowd.hours(result.camera))
        last = self._newest.get(camera)
        for begins in hours[hours.index(last) if last in hours else 0 :]:
            self._rows[camera, begins] = None
            self._newest[camera] = begins
        newest = self._newest.get(camera)
        return {hour for hour in self._rows if hour[0] == camera and hour[1] != newest}

    def _cells(self, row: Hour) -> dict[str, object]:
        camera, begins = row
        numbers = self._crowd.hours(camera).get(begins, {})
        known = {name: value for name, value in numbers.items() if value is not None}
        return {"camera": camera, "hour": begins, **known}
