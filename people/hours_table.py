"""The sink that writes down who came and left, hour by hour: a CSV table."""

from collections.abc import Collection, Sequence
from pathlib import Path

from files import begins_with
from people.table import Table
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
    """

    def _header(self, attributes: Collection[str], several: bool) -> Sequence[str]:
        return ["camera", *_COLUMNS] if several else _COLUMNS

    def close(self) -> None:
        """End the run, so that the last hour is whole, write it and close the file."""
        if not self.closed:
            self._crowd.end()
            for camera in self._crowd.cameras:
                self._add_rows(camera)
        super().close()

    def _note(self, result: FrameResult) -> set[Hour]:
        camera, newest = result.camera, self._add_rows(result.camera)
        return {hour for hour in self._rows if hour[0] == camera and hour[1] != newest}

    def _add_rows(self, camera: str) -> str | None:
        """Add the hours of a camera that have no row yet; returns the newest one."""
        hours = list(self._crowd.hours(camera))
        # The newest hour is never final, so it is still among the rows.
        last = next((begins for name, begins in reversed(self._rows) if name == camera), None)
        for begins in hours[hours.index(last) if last in hours else 0 :]:
            self._rows[camera, begins] = None
        return hours[-1] if hours else last

    def _cells(self, row: Hour) -> dict[str, object]:
        camera, begins = row
        numbers = self._crowd.hours(camera).get(begins, {})
        known = {name: value for name, value in numbers.items() if value is not None}
        return {"camera": camera, "hour": begins, **known}
