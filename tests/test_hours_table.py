"""The table of who came and left, hour by hour."""

import csv
from pathlib import Path

import pytest

from errors import SinkError
from people.crowd import Crowd
from people.hours_table import HoursWriter, is_hours
from tests.test_crowd import NOON
from tests.web_parts import person, result


class Day:
    """A table whose clock is set by hand."""

    def __init__(self, path: Path, anonymous: bool = False, several: bool = False) -> None:
        self.path, self.now_s, self._index = path, NOON, 0
        crowd = Crowd(anonymous=anonymous, clock=lambda: self.now_s, utc=lambda: self.now_s)
        self.sink = HoursWriter(path, crowd, several, refresh_s=0.0)

    def see(self, *ids: int, wait_s: float = 0.0, camera: str = "") -> None:
        self.now_s += wait_s
        self._index += 1
        self.sink.write(None, result(self._index, {i: person() for i in ids}, camera=camera))

    def rows(self) -> list[list[str]]:
        with self.path.open(newline="") as file:
            return [[row[0][:13], *row[1:3]] for row in list(csv.reader(file))[1:]]


def test_an_hour_has_a_row_that_grows_until_the_next_one_begins(tmp_path: Path) -> None:
    day = Day(tmp_path / "hours.csv")
    day.see(1, 2)
    assert day.rows() == [["2030-03-10T12", "2", "0"]]
    day.see(2, wait_s=1800)
    assert day.rows() == [["2030-03-10T12", "2", "1"]]
    day.see(2, 3, wait_s=3600)
    day.see(wait_s=7200)
    day.sink.close()
    assert day.rows() == [
        ["2030-03-10T12", "2", "1"], ["2030-03-10T13", "1", "0"], ["2030-03-10T15", "0", "2"],
    ]  # fmt: skip


def test_the_end_of_the_run_counts_who_is_still_there(tmp_path: Path) -> None:
    day = Day(tmp_path / "hours.csv")
    day.see(1, 2)
    day.sink.close()
    assert day.rows() == [["2030-03-10T12", "2", "2"]]
    assert is_hours(day.path)


@pytest.mark.parametrize(("anonymous", "left"), [(True, ["10", "10"]), (False, ["12", "12"])])
def test_what_is_first_told_at_the_end_of_the_run_has_a_row(
    tmp_path: Path, anonymous: bool, left: list[str]
) -> None:
    day = Day(tmp_path / "hours.csv", anonymous)
    day.see(*range(12))
    day.see(*range(12), wait_s=30)
    day.sink.close()
    assert day.rows() == [["2030-03-10T12", *left]]


def test_who_leaves_at_the_end_after_the_hour_is_over_has_a_row_there(tmp_path: Path) -> None:
    day = Day(tmp_path / "hours.csv")
    day.see(1, 2, wait_s=3599)
    day.now_s += 2
    day.sink.close()
    assert day.rows() == [["2030-03-10T12", "2", "0"], ["2030-03-10T13", "0", "2"]]


def test_a_run_of_weeks_holds_one_row_and_writes_all(tmp_path: Path) -> None:
    day = Day(tmp_path / "hours.csv")
    for hour in range(24 * 15):
        day.see(hour, wait_s=3600)
        assert len(day.sink._rows) == 1
    day.sink.close()
    assert len(day.rows()) == 24 * 15
    assert sum(int(entered) for _, entered, _ in day.rows()) == 24 * 15


def test_every_camera_has_rows_of_its_own(tmp_path: Path) -> None:
    day = Day(tmp_path / "hours.csv", several=True)
    day.see(1, camera="door")
    day.see(2, 3, camera="yard")
    day.sink.close()
    lines = day.path.read_text().splitlines()
    assert lines[0] == "camera,hour,entered,left,dwell_s"
    assert [line.split(",")[::2] for line in lines[1:]] == [
        ["door", "1", "0.0"], ["yard", "2", "0.0"],
    ]  # fmt: skip
    assert is_hours(day.path)


@pytest.mark.parametrize("name", ["=1+2", "+1", "-1", "@SUM(A1)"])
def test_the_name_of_a_camera_is_no_formula_in_a_spreadsheet(tmp_path: Path, name: str) -> None:
    day = Day(tmp_path / "hours.csv", several=True)
    day.see(1, camera=name)
    day.sink.close()
    assert day.rows() == [[f"'{name}", "2030-03-10T12:00+00:00", "1"]]


def test_anonymous_hours_are_multiples_of_five_without_stays(tmp_path: Path) -> None:
    day = Day(tmp_path / "hours.csv", anonymous=True)
    day.see(*range(8))
    day.see(wait_s=61)
    day.see(9, wait_s=3600)
    day.sink.close()
    (row,) = day.path.read_text().splitlines()[1:]
    assert row.split(",")[1:] == ["5", "5", ""]


def test_a_table_of_hours_needs_a_file() -> None:
    with pytest.raises(SinkError, match="cannot go to standard output"):
        HoursWriter("-", Crowd())
