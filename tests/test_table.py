import csv
import io
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from errors import SinkError
from people import table
from people.crowd import Crowd
from people.table import PeopleWriter, columns
from structures import ATTRIBUTES, Gender, HeadPose
from tests.results import person, result, rows, track, write_all

SHARES = np.array([0.1, 0.05, 0.71, 0.1, 0.04], np.float32)


def people_writer(path: str | Path, **options: Any) -> PeopleWriter:
    return PeopleWriter(path, Crowd(), **options)


def test_each_person_gets_one_row_with_the_values_last_known(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    write_all(
        people_writer(path),
        [
            result(0, [track(1)]),
            result(1, [track(1), track(2)], {1: person(30.0, Gender.UNSURE), 2: person()}),
            result(2, [track(1), track(2, misses=1)], {1: person(36.04, shares=SHARES)}),
            result(3, [track(5)]),
        ],
    )
    one, two, five = rows(path)
    assert list(one) == columns(ATTRIBUTES)
    assert datetime.fromisoformat(one["first_seen_utc"]).tzinfo is not None
    assert (one["id"], one["first_seen_s"], one["last_seen_s"]) == ("1", "0.000", "0.080")
    assert (one["frames"], one["age_years"], one["gender"]) == ("3", "36.0", "female")
    assert (one["ethnicity"], one["ethnicity_prob"]) == ("Asian", "0.7100")
    assert (two["frames"], two["last_seen_s"], two["age_years"]) == ("1", "0.040", "34.2")
    assert two["age_uncertainty_years"] == "3.9" and two["female_prob"] == "0.9300"
    assert (five["samples"], five["age_years"], five["gender"]) == ("0", "", "")


def test_who_looked_this_way_has_columns_where_it_is_asked_for(tmp_path: Path) -> None:
    path, seen = tmp_path / "people.csv", [track(1), track(2), track(3)]
    poses = {1: HeadPose(0, 0), 2: HeadPose(70, 0)}
    results = [replace(result(i, seen), poses=poses) for i in range(51)]
    write_all(PeopleWriter(path, Crowd(attention=True)), results)
    told = [(row["attention_s"], row["watched"]) for row in rows(path)]
    assert told == [("2.00", "true"), ("0.00", "false"), ("", "")]


def test_a_table_of_people_needs_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SinkError, match="name a file"):
        people_writer("-")
    assert list(tmp_path.iterdir()) == []


def interrupt_at(line_number: int) -> Callable[..., Any]:
    """A trace function that raises at so-many-th line run of the sink's module."""
    seen = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal seen
        if frame.f_code.co_filename != table.__file__:
            return None
        seen += event == "line"
        if seen == line_number:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    return trace


def test_ctrl_c_at_any_moment_neither_loses_nor_doubles_a_person(
    tmp_path: Path,
) -> None:
    path = tmp_path / "people.csv"
    frames = [result(0, [track(1), track(2)]), result(1, [track(3)], time_s=60.0)]
    last = result(2, [track(3)], time_s=120.0, epoch=1)
    outer, line, interrupted = sys.gettrace(), 0, True
    while interrupted:
        sink, line, interrupted = people_writer(path, refresh_s=0.0), line + 1, False
        for frame in frames:
            sink.write(None, frame)
        sys.settrace(interrupt_at(line))
        try:
            sink.write(None, last)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.settrace(outer)
        sink.close()
        noted = [row["id"] for row in rows(path)]  # 3 comes back under its id after the cut
        assert noted in (["1", "2", "3"], ["1", "2", "3", "3"]), line
    assert noted == ["1", "2", "3", "3"] and line > 20


def test_rows_of_people_gone_are_final_and_no_longer_held(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    sink = people_writer(path)
    for i in range(200):  # a new person every minute
        sink.write(None, result(i, [track(i + 1)], {i + 1: person()}, time_s=60.0 * i))
        assert len(sink._rows) <= 2
    assert [row["id"] for row in rows(path)] == [str(i + 1) for i in range(200)]
    sink.close()
    assert [row["id"] for row in rows(path)] == [str(i + 1) for i in range(200)]


def test_a_person_who_is_still_followed_is_not_gone_however_slow_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    misses = [result(i, [track(1, misses=i)], time_s=30.0 * i) for i in range(5)]
    write_all(people_writer(path), [*misses, result(5, [track(1)], time_s=150.0)])
    (row,) = rows(path)
    assert (row["frames"], row["last_seen_s"]) == ("2", "150.000")


def test_a_new_epoch_ends_all_rows(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    frames = [result(0, [track(1)], time_s=5.0), result(1, [track(1)], epoch=1, time_s=5.1)]
    write_all(people_writer(path), frames)
    assert [(r["id"], r["first_seen_s"]) for r in rows(path)] == [("1", "5.000"), ("1", "5.100")]


def test_the_table_always_equals_one_written_at_the_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "people.csv"
    starts = np.sort(np.random.default_rng(5).integers(0, 280, 40))
    spans = [(int(start), int(start) + 1 + k % 60) for k, start in enumerate(starts)]
    sink = people_writer(path, refresh_s=0.0)  # overwrites them with every frame
    seen: dict[int, list[int]] = {}
    for i in range(300):
        here = [k for k, (first, last) in enumerate(spans, 1) if first <= i < last]
        for track_id in here:
            seen.setdefault(track_id, []).append(i)
        sink.write(None, result(i, [track(k) for k in here], time_s=i * 0.5))
        written = {int(row["id"]): row for row in rows(path)}
        assert written.keys() == seen.keys()
        assert all(int(written[k]["frames"]) == len(seen[k]) for k in seen)
    sink.close()
    assert len(rows(path)) == len(seen)


def test_values_are_quoted_as_csv_wants_it(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    write_all(people_writer(path), [result(0, [track(1)], {1: person(shares=SHARES)})])
    data = path.read_bytes()
    assert b"\r" not in data and data.endswith(b"\n")
    assert len(list(csv.reader(io.StringIO(data.decode())))) == 2


def test_of_several_cameras_each_row_names_its_own_and_a_cut_ends_only_its_people(
    tmp_path: Path,
) -> None:
    path = tmp_path / "people.csv"
    door, yard = (replace(result(0, [track(i)]), camera=c) for i, c in ((1, "door"), (2, "yard")))
    cut = replace(door, frame=replace(door.frame, epoch=1, index=1), tracks=(track(3),))
    write_all(people_writer(path, several=True), [door, yard, cut, yard])
    assert [(row["camera"], row["id"]) for row in rows(path)] == [
        ("door", "1"),
        ("yard", "2"),
        ("door", "3"),
    ]
