"""What `--anonymous` promises in docs/events.md, of everything that reports people."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from people.crowd import LEAST, MINUTE_S, Crowd
from people.records import Record, Recorder
from structures import Gender, HeadPose, Smoothed
from tests.fakes import ListSource, film
from tests.test_crowd import NOON
from tests.test_stream import reading, run_main
from tests.web_parts import ask, person, result, served
from web.board import Board
from web.figures import Facts, RunCollector, page_state

AHEAD = HeadPose(0.0, 0.0)
PERFECT = tuple(tuple(900 * (i == j) for j in range(10)) for i in range(10))
NUMBERS = (
    "now", "people", "groups", "entered", "hours", "days", "dwell_s", "corrected", "error_years",
    "attention", "age_years", "age_years_by_gender",
)  # fmt: skip


class Run:
    """An anonymous run with a page and two outputs of records; its clock is set by hand."""

    def __init__(self) -> None:
        self.now_s = NOON
        crowd = Crowd(
            anonymous=True,
            confusion=PERFECT,
            attention=True,
            clock=lambda: self.now_s,
            utc=lambda: self.now_s,
        )
        self.recorders = [Recorder(crowd), Recorder(crowd)]
        self.records: list[Record] = []
        self._board = Board(lambda _: None, crowd)
        self._facts = Facts("film", crowd, False, 0.0, estimates=lambda: (self._index, 7))
        self._index = 0

    def see(
        self, people: dict[int, Smoothed | None], wait_s: float = 1.0, camera: str = ""
    ) -> None:
        """Show a new frame to all outputs after a while."""
        self.now_s += wait_s
        self._index += 1
        one = result(self._index, people, camera=camera, poses=dict.fromkeys(people, AHEAD))
        self.records += self.recorders[0].all_of(one)
        self._board.post(None, one, new_frame=True)
        self.records += self.recorders[1].changes(one)

    def reported(self) -> dict[str, Any]:
        """Everything about people that the page, /metrics and the records hold now."""
        state = json.loads(json.dumps(page_state(self._board, self._facts)))
        text = RunCollector(self._board, self._facts).text().decode()
        of_people = r"^(faces_(?:people|age|estimates|opportunities|watchers|attention)\S*) (\S+)$"
        metrics = re.findall(of_people, text, re.MULTILINE)
        aggregates = [r.aggregate(camera) for r in self.recorders for camera in r.crowd.cameras]
        names = ("people_now", "people_today", "groups", "people", "hours", "days", "attention")
        return {
            **{name: state[name] for name in names},
            "cameras": [camera["people_now"] for camera in state["cameras"]],
            "timelines": {n for series in state["timelines"].values() for n in series},
            "metrics": {name: float(number) for name, number in metrics},
            "aggregates": [[each[n] for n in NUMBERS] for each in aggregates],
        }


def without_shares(reported: Any) -> Any:
    """The same without the shares, which follow from the numbers."""
    if isinstance(reported, dict):
        return {
            name: without_shares(each)
            for name, each in reported.items()
            if name not in ("ratio", "low", "high")
        }
    return [without_shares(x) for x in reported] if isinstance(reported, list) else reported


def numbers_in(reported: Any) -> Iterator[float]:
    """All numbers, however deep."""
    if isinstance(reported, dict):
        reported = list(reported.values())
    if isinstance(reported, list | tuple | set):
        for each in reported:
            yield from numbers_in(each)
    elif isinstance(reported, int | float):
        yield reported


def people(ids: Iterable[int], age: float = 34.0) -> dict[int, Smoothed | None]:
    return {i: person(age) for i in ids}


def test_within_a_minute_nothing_changes_whoever_comes_and_goes() -> None:
    run = Run()
    run.see({}, wait_s=0)
    first = run.reported()
    for ids in (range(1, 13), range(7, 40), range(39, 41), ()):
        run.see(people(ids), wait_s=MINUTE_S / 5)
        assert run.reported() == first


def test_page_metrics_and_records_change_at_the_same_moment_and_agree() -> None:
    run = Run()
    run.see(people(range(9)), wait_s=0)
    run.see(people(range(9, 22)))
    run.see(people(range(9, 22)), wait_s=MINUTE_S)
    group = {"age": "20-39", "gender": "female", "people": 5}
    reported = run.reported()
    assert (reported["people_now"], reported["people_today"]) == (10, 20)
    assert reported["cameras"] == [10]
    assert [g["people"] for g in reported["groups"] if g["people"]] == [20]
    assert reported["timelines"] == {None, 10}
    assert reported["metrics"] == {
        'faces_people_now{camera=""}': 10,
        "faces_people_seen_total": 20,
        "faces_people_left_total": 5,
        'faces_people_total{age_band="30-39",gender="female"}': 5,
        'faces_opportunities_total{camera=""}': 0,  # nobody's pose was known for long enough
        'faces_watchers_total{camera=""}': 0,
    }
    hours = [{**reported["hours"][0], "entered": 20, "left": 5, "dwell_s": None}]
    assert reported["hours"] == hours
    rest = [None, None, None, reported["attention"], None, {"female": None, "male": None}]
    assert reported["aggregates"] == [[10, 5, [group], 20, hours, [], *rest]] * 2
    sent = [r for r in run.records if r["type"] == "aggregate"]
    assert [(r["now"], r["people"], r["groups"]) for r in sent] == [(10, 5, [group])] * 2


def test_a_group_of_fewer_than_five_does_not_show_nor_can_it_be_worked_out() -> None:
    run = Run()
    run.see(people(range(1, 8)) | people((8, 9), 61.0), wait_s=0)
    run.see({}, wait_s=MINUTE_S)
    reported = run.reported()
    assert reported["people_today"] == 5, "nine, with five in a group, would tell of four others"
    assert [g["people"] for g in reported["groups"] if g["people"] is not None] == [5]
    run.see(people(range(20, 24)), wait_s=MINUTE_S)
    assert run.reported()["people_now"] is None
    assert "faces_people_now" not in str(run.reported()["metrics"])


def test_no_two_numbers_ever_differ_by_fewer_than_five_people() -> None:
    run, rng = Run(), np.random.default_rng(3)
    here: dict[str, dict[int, Smoothed | None]] = {"door": {}, "yard": {}}
    reports = []
    for i in range(600):
        camera = ("door", "yard")[rng.integers(2)]
        age, gender = float(rng.uniform(0, 90)), list(Gender)[rng.integers(3)]
        here[camera][i] = person(age, gender) if rng.random() < 0.9 else None
        for gone in [k for k in here[camera] if rng.random() < 0.1]:
            del here[camera][gone]
        run.see(here[camera], wait_s=float(rng.uniform(0, 20)), camera=camera)
        reports.append(run.reported())
    for reported in reports:
        assert all(number % LEAST == 0 for number in numbers_in(without_shares(reported)))
    assert reports[-1]["metrics"]["faces_people_seen_total"] > 500
    assert reports[-1]["attention"]["watchers"] > 100
    assert reports[-1]["attention"]["attention_s"] is None
    assert not any("attention_seconds" in name for name in reports[-1]["metrics"])
    changes = sum(one != other for one, other in pairwise(reports))
    assert 0 < changes <= (run.now_s - NOON) / MINUTE_S


def test_nothing_is_reported_of_any_one_person() -> None:
    run = Run()
    for ids in ((1, 2), (2,), (), range(5, 15), ()):
        run.see(people(ids), wait_s=MINUTE_S)
    run.records += [record for each in run.recorders for record in each.last_changes()]
    assert {record["type"] for record in run.records} == {"source", "aggregate"}
    assert '"id"' not in json.dumps(run.records)
    crowd = run.recorders[0].crowd
    run.see(people((1,)))
    assert crowd.here("") == crowd.summary().newest == ()


def test_the_page_serves_no_images_and_no_frames() -> None:
    with served(anonymous=True) as view:
        assert not view.wants_picture
        view.write(None, result(0, people(range(9))))
        for path in ("stream.mjpeg", "snapshot.jpg", "events", "offer"):
            assert ask(view, path)[0] == 404, path
        state = json.loads(ask(view, "state.json")[2])
        assert (state["people"], state["people_now"], state["webrtc"]) == ([], None, False)


def test_not_even_the_log_tells_exact_numbers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for flags, told in ([], True), (["--anonymous"], False):
        caplog.clear()
        assert run_main("--no-window", *flags, factories=reading(ListSource(film(30)))) == 0
        assert (" tracks; " in caplog.text) == told
