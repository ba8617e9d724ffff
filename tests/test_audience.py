"""The audience report: numbers beside the scripted truth, and what no page may show."""

import html
import re
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from people.attention import wilson
from people.correction import Corrected
from people.records import Record
from people.report import leaving
from people.report.doubles import Doubles, Span95, Twice, counted_twice
from people.report.groups import Part, merged, told_share
from people.report.page import page_of
from people.report.presence import GroupRow, Presence, presence_of
from people.report.shapes import COLUMNS_HEIGHT, WIDTH, columns, pyramid
from people.report.tally import Tally, WrongSchemaError
from people.report.times import Cell, busiest, by_day
from tests.audiences import Week, confusion, week
from tests.test_records import check

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def set_zone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TZ", name)
    time.tzset()
    leaving._hour_of_quarter.cache_clear()


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    set_zone(monkeypatch, "UTC")


def left(number: int, minutes: float = 0.0, **values: Any) -> Record:
    """The record of somebody who stayed for ten seconds."""
    utc = (NOON + timedelta(minutes=minutes)).isoformat(timespec="milliseconds")
    last_s = 1000 + 60 * minutes
    return {
        "schema": 2, "type": "person", "run": "0" * 16, "camera": "", "utc": utc, "event": "left",
        "id": number, "first_seen_s": last_s - 10, "last_seen_s": last_s, "seconds": 10.0,
        "frames": 50, "settled": True, "samples": 20, "age_years": 30.0,
        "age_uncertainty_years": 4.0, "female_prob": 0.9, "gender": "female",
    } | values  # fmt: skip


def tally_of(records: Iterable[Record]) -> Tally:
    tally = Tally()
    for record in records:
        tally.add(record)
    return tally


def audience(records: Iterable[Record]) -> Presence:
    found = presence_of(tally_of(records))
    assert found is not None
    return found


def text_of(records: Iterable[Record]) -> str:
    """What the page says, without its style and tags."""
    page = page_of(presence_of(tally_of(records)))
    bare = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", bare))


def all_of(truth: Week) -> list[Record]:
    return [record for day in truth.records for record in day]


# The simulated week


def test_the_simulated_records_are_what_the_schema_says() -> None:
    for record in all_of(week(0, an_hour=0.3)):
        check(record)


def held(truth: Week) -> dict[str, list[bool]]:
    """Which of a week's intervals hold the truth, by kind."""
    found = audience(all_of(truth))
    assert found.twice is not None and found.people == sum(truth.groups.values())
    kinds: dict[str, list[bool]] = {"hours": [], "days": [], "groups": []}
    place, hours = 0, [truth.people[hour] for hour in range(24)]
    for cell in found.times.hours:
        people = sum(hours[place : place + cell.width])
        place += cell.width
        if cell.different:
            kinds["hours"].append(cell.different.low <= people <= cell.different.high)
    for cell, day in zip(found.times.steps, sorted(truth.days), strict=True):
        assert cell.different
        kinds["days"].append(cell.different.low <= truth.days[day] <= cell.different.high)
    for row in found.groups:
        if row.corrected and row.band:
            people = truth.groups[row.gender, row.band]
            kinds["groups"].append(row.corrected.low <= people <= row.corrected.high)
    total = found.twice.different(found.people)
    kinds["total"] = [total.low <= sum(hours) <= total.high]
    kinds["twice"] = [found.twice.span.low <= truth.twice <= found.twice.span.high]
    low, high = wilson(found.attention.watchers, found.attention.people)
    kinds["attention"] = [low is not None and high is not None and low <= 0.4 <= high]
    assert found.attention.watchers == truth.looking
    return kinds


@pytest.mark.slow
def test_intervals_hold_the_truth_of_simulated_weeks_in_about_19_of_20() -> None:
    weeks = [held(week(seed, an_hour=15)) for seed in range(15)]
    for kind in weeks[0]:
        hits = [hit for one in weeks for hit in one[kind]]
        # A twentieth may miss, and of few intervals two more by chance.
        assert np.mean(hits) >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / len(hits)), kind


def test_the_intervals_of_one_simulated_week_hold_its_truth() -> None:
    kinds = held(week(1, an_hour=15))
    hits = [hit for kind in kinds.values() for hit in kind]
    assert np.mean(hits) > 0.85
    assert kinds["total"] == kinds["twice"] == [True]


def test_without_the_correction_the_truth_would_be_missed() -> None:
    truth = week(2, an_hour=25)
    rows = [row for row in audience(all_of(truth)).groups if row.corrected and row.band]
    told = [abs(row.told - truth.groups[row.gender, row.band]) for row in rows]
    put_right = [
        abs(r.corrected.people - truth.groups[r.gender, r.band]) for r in rows if r.corrected
    ]
    assert sum(put_right) < 0.6 * sum(told)


# Counted twice


def passing(doubles: Doubles, rng: np.random.Generator, people: int, lost: float) -> int:
    """People who come at random, some lost and found again; returns how many were."""
    visits, twice = [], 0
    for came_s in np.sort(rng.uniform(0, 30.0 * people, people)):
        age, gender = rng.uniform(5, 80), str(rng.choice(["female", "male", "unsure"]))
        again = rng.random() < lost
        twice += again
        for _ in range(1 + again):
            stays_s = rng.uniform(2, 20)
            visits.append((came_s, came_s + stays_s, age + rng.normal(0, 2), gender))
            came_s += stays_s + rng.uniform(0.2, 8)
    for visit in sorted(visits, key=lambda each: each[1]):
        doubles.note(*visit)
    return twice


@pytest.mark.parametrize("lost", [0.0, 0.05, 0.2])
def test_the_people_counted_twice_are_estimated_without_bias(lost: float) -> None:
    rng, errors, inside = np.random.default_rng(0), [], []
    for _ in range(30):
        doubles = Doubles()
        truth = passing(doubles, rng, 200, lost)
        found = counted_twice([doubles])
        assert found is not None
        errors.append(found.value - truth)
        inside.append(found.span.low <= truth <= found.span.high)
    assert sum(inside) >= 26  # of 30, where 28.5 are expected
    # An estimate that would be below none is none: then it errs upwards.
    assert abs(np.mean(errors)) < (2 if lost else 4)


def test_people_who_look_different_are_never_the_same() -> None:
    doubles = Doubles()
    for i in range(60):
        doubles.note(20.0 * i, 20.0 * i + 18, 20.0 + 40 * (i % 2), "female")
        doubles.note(20.0 * i + 5, 20.0 * i + 19, 20.0 + 40 * (i % 2), "male")
    assert doubles.found == 0


def test_of_fewer_than_fifty_people_nothing_is_said_of_doubles() -> None:
    few, enough = Doubles(people=49), Doubles(people=50)
    assert counted_twice([few]) is None and counted_twice([]) is None
    assert counted_twice([enough]) == Twice(50, 0, 1)
    assert counted_twice([few, enough]) == Twice(99, 0, 1)


# Groups under five


def test_neighbours_are_put_together_until_nobody_is_in_a_group_under_five() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        people = rng.poisson(rng.uniform(0, 8), rng.integers(1, 30)).tolist()
        parts = merged(people)
        assert [part.first for part in parts] == [0, *(part.last + 1 for part in parts[:-1])]
        assert parts[-1].last == len(people) - 1
        assert all(part.people == sum(people[part.first : part.last + 1]) for part in parts)
        if sum(people) >= 5:
            assert all(part.people >= 5 or part.people == 0 for part in parts)
        else:
            assert len([part for part in parts if part.people]) <= 1


def test_empty_hours_and_large_groups_stay_by_themselves() -> None:
    assert merged([0, 7, 0, 9]) == [Part(0, 0, 0), Part(1, 1, 7), Part(2, 2, 0), Part(3, 3, 9)]
    assert merged([7, 2, 0, 3]) == [Part(0, 0, 7), Part(1, 3, 5)]
    assert merged([7, 0, 2]) == [Part(0, 2, 9)]


@pytest.mark.parametrize(
    ("people", "want"),
    [(0, "none"), (4, "<5"), (5, "5 (50 %)"), (7, "nearly all"), (10, "10 (100 %)")],
)
def test_a_share_tells_nothing_of_fewer_than_five(people: int, want: str) -> None:
    assert told_share(people, 10) == want


def test_a_share_is_of_numbers_in_fives() -> None:
    """12 of 23 exactly would be 52 %, which no other number of people gives."""
    assert told_share(12, 23) == told_share(10, 20) == told_share(14, 24) == "10 (50 %)"


def test_how_many_had_no_age_is_not_told_by_how_many_had_one() -> None:
    nothing = {"age_years": None, "female_prob": None, "gender": None}
    text = text_of(left(i, i, **(nothing if i < 3 else {})) for i in range(1, 61))
    assert "60 people were counted" in text and "of 55 with an age" in text


def test_the_attraction_ratio_is_that_of_many_numbers() -> None:
    def ratio_of(people: int, watchers: int) -> str:
        seen = [left(i, i, watched=i <= watchers, attention_s=1.0) for i in range(1, people + 1)]
        found = re.search(r"Attraction ratio (\S+ \S+) %", text_of(seen))
        assert found is not None
        return found[1]

    (low, _), (_, high) = wilson(5, 14), wilson(9, 10)
    told = f"50 ({100 * (low or 0):.0f}–{100 * (high or 0):.0f})"
    assert ratio_of(13, 7) == ratio_of(12, 6) == ratio_of(14, 9) == told


def test_a_page_about_fewer_than_five_people_says_only_that() -> None:
    text = text_of(left(i) for i in range(1, 5))
    assert "Fewer than five people came into view" in text
    assert "women" not in text and "stayed" not in text


def test_a_small_group_appears_nowhere_and_no_difference_tells_of_it() -> None:
    women = [left(i, i) for i in range(1, 21)]
    boys = [left(100 + i, 400 + i, age_years=5.0, female_prob=0.1, gender="male") for i in range(3)]
    far = [left(200 + i, 3 * 1440 + i, camera="yard") for i in range(2)]
    found = audience([*women, *boys, *far])
    assert found.people == 25
    for cells in (found.times.hours, found.times.steps, found.stays):
        assert sum(cell.people for cell in cells) == 25
        assert not any(0 < cell.people < 5 for cell in cells)
    assert [(row.names, row.people) for row in found.cameras] == [("without a name, yard", 25)]
    text = text_of([*women, *boys, *far])
    assert "men 0-9 <5" in text and "women 20-39 20" in text and "men <5" in text


@pytest.mark.parametrize(("watchers", "told"), [(4, False), (7, False), (5, True), (10, True)])
def test_the_attraction_ratio_tells_of_no_group_under_five(watchers: int, told: bool) -> None:
    people = [left(i, i, watched=i <= watchers, attention_s=1.0) for i in range(1, 11)]
    assert ("Attraction ratio" in text_of(people)) == told


def test_the_busiest_hours_are_told_in_fives() -> None:
    hours = {"2026-01-05T12:00+00:00": 23, "2026-01-05T23:00+00:00": 4, "2026-01-06T09:00+00:00": 9}
    rows = [(cell.label, cell.people) for cell in busiest(hours)]
    assert rows == [("Mon 5 Jan 2026, 12:00 – 13:00", 20), ("Tue 6 Jan 2026, 09:00 – 10:00", 5)]


# What is counted


def test_somebody_who_is_recognised_counts_once_a_day_and_their_lines_each_time() -> None:
    crossed = {"lines": {"door": {"in": 1, "out": 0}}, "zones": {"shop": 4.0}}
    again = [left(1, minutes, **crossed) for minutes in (0, 30, 24 * 60)]
    found = audience([*again, *(left(i, i) for i in range(2, 10))])
    assert found.people == 2 + 8
    assert (found.lines["door"].inward, found.zones["shop"].inward) == (3, 2)
    assert found.zones["shop"].seconds == 12.0
    elsewhere = [left(1, 0), *again[1:], *(left(i, i) for i in range(2, 10))]
    assert audience(elsewhere).zones["shop"].inward == 2


def test_records_that_come_twice_count_once() -> None:
    records = [left(i, i) for i in range(1, 30)]
    tally = tally_of(records + records[:10] + records)
    assert tally.repeated == 39
    found = presence_of(tally)
    assert found is not None and found.people == 29


def test_people_count_in_the_local_hour_and_day_in_which_they_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_zone(monkeypatch, "Asia/Kolkata")  # UTC+05:30
    late = [left(i, 60 * 6.5 + 0.1) for i in range(1, 8)]  # from 23:59:56 to 00:00:06, 5 Jan
    found = audience(late)
    assert [(cell.label, cell.people) for cell in found.times.steps] == [("Mon 5 Jan", 7)]
    assert [cell.people for cell in found.times.hours] == [0] * 23 + [7]
    assert "local time IST (UTC+05:30)" in text_of(late)


def test_many_days_are_told_by_week_and_many_weeks_by_month() -> None:
    def hours(days: int) -> Counter[str]:
        first = NOON.replace(day=1)
        every = (first + timedelta(day) for day in range(days))
        return Counter({f"{day:%Y-%m-%dT12:00+00:00}": 10 for day in every})

    for days, step in ((62, "day"), (63, "week"), (400, "week"), (700, "month")):
        name, cells = by_day(hours(days), None)
        assert name == step and len(cells) <= 62
        assert sum(cell.people for cell in cells) == 10 * days
    assert by_day(hours(63), None)[1][0].label == "29 Dec – 4 Jan"


def state(name: str, minutes: float, camera: str = "", run: str = "0" * 16) -> Record:
    utc = (NOON + timedelta(minutes=minutes)).isoformat()
    source = {"state": name, "detail": "", "reconnects": 0}
    head = {"schema": 2, "type": "source", "run": run, "camera": camera, "utc": utc}
    return head | {"source": source}


def test_the_time_without_images_is_counted_once_however_often_a_file_is_read() -> None:
    states = [
        state("online", -60),
        state("live", 0),
        state("stalled", 10),
        state("reconnecting", 11),
        state("live", 15),
        state("failed", 50),
        state("live", 200, run="1" * 16),
        left(1, 55),
        left(2, 60),
    ]
    (camera,) = audience(states + states).uptimes
    assert (camera.outages, camera.offline_s) == (2, 5 * 60 + 10 * 60)
    assert (camera.watched_s, camera.pause_s) == (3600, 140 * 60)


def aggregate(day: str, entered: int, run: str = "0" * 16, **more: Any) -> Record:
    hours = [{"begins": f"{day}T12:00+00:00", "entered": entered, "left": 0, "dwell_s": None}]
    groups = [{"age": "20-39", "gender": "female", "people": entered // 2}]
    return {
        "schema": 2, "type": "aggregate", "run": run, "camera": "", "utc": f"{day}T13:00:00+00:00",
        "day": day, "now": 0, "people": entered, "entered": entered, "dwell_s": None, "step": 5,
        "groups": groups, "corrected": None, "hours": hours, "days": [],
    } | more  # fmt: skip


def test_of_anonymous_runs_the_last_numbers_of_each_day_count() -> None:
    days = [("2026-01-05", 10), ("2026-01-05", 40), ("2026-01-06", 20), ("2026-01-05", 40)]
    records = [aggregate(day, entered) for day, entered in days]
    found = audience(records)
    assert (found.people, found.rounded, found.twice) == (60, 1, None)
    assert [(row.gender, row.band, row.told) for row in found.groups if row.told] == [
        ("female", "", 30),
        ("female", "20-39", 30),
    ]
    assert "runs is anonymous" in text_of(records)


def test_a_part_of_an_anonymous_run_that_is_read_after_the_whole_changes_nothing() -> None:
    whole = [
        aggregate("2026-01-05", 5 * i, utc=f"2026-01-05T13:{i:02}:00+00:00") for i in range(1, 11)
    ]
    for records in (whole, whole + whole[:3], whole[:3] + whole):
        assert audience(records).people == 50


def test_people_of_networks_with_different_errors_are_corrected_apart() -> None:
    runs = ("0" * 16, "1" * 16)
    people = [left(i, i, run=run) for run in runs for i in range(1, 201)]
    perfect = [[10**6 * (i == j) for j in range(10)] for i in range(10)]
    known = [[list(row) for row in confusion()], perfect]
    for run, rows in zip(runs, known, strict=True):
        people.append(aggregate("2026-01-05", 0, run, step=1, confusion=rows))
    (women,) = (row for row in audience(people).groups if row.gender == "female" and not row.band)
    (one,) = (row for row in audience(people[:200] + people[400:401]).groups
              if row.gender == "female" and not row.band)  # fmt: skip
    assert one.corrected is not None
    assert women.corrected == Corrected(
        one.corrected.people + 200, one.corrected.low + 200, one.corrected.high + 200
    )


def test_where_nothing_is_known_of_errors_the_page_says_so() -> None:
    text = text_of(left(i, i) for i in range(1, 30))
    assert "nothing is corrected, as the errors of these weights are not known" in text


def test_a_run_without_gender_or_age_is_told_by_the_other_one() -> None:
    bare = {"age_uncertainty_years": None, "age_years": None}
    by_gender = [left(i, i, **bare) for i in range(1, 10)]
    assert [(r.gender, r.band, r.told) for r in audience(by_gender).groups] == [("female", "", 9)]
    by_age = [left(i, i, gender=None, female_prob=None) for i in range(1, 10)]
    told = [(r.gender, r.band, r.told) for r in audience(by_age).groups if r.told]
    assert told == [("", "20-39", 9)]
    page_of(presence_of(tally_of(by_age)))


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": 1, "first_seen_s": "1"},
        {"age_years": float("nan")},
        {"female_prob": 3},
        {"gender": "robot"},
        {"id": 10**30},
        {"id": True},
        {"utc": "yesterday"},
        {"watched": "yes"},
        {"lines": {"door": 1}},
        {"zones": 3},
        {"camera": None, "samples": None},
        {"schema": 3},
        {"camera": 5},
        {"camera": ["hall"]},
        {"run": 5},
        {"utc": "0001-01-01T00:00:00+00:00"},
        {"utc": "9999-12-31T23:59:59+00:00"},
        {"utc": "2026-01-05T12:00:00"},
        {"type": "source", "source": {"state": "lost"}},
    ],
)
def test_a_record_that_is_wrong_is_refused_and_nothing_of_it_counts(change: Record) -> None:
    tally = Tally()
    with pytest.raises((LookupError, TypeError, ValueError, AttributeError)):
        tally.add(left(1) | change)
    assert not tally.cameras and not tally.runs
    with pytest.raises(WrongSchemaError):
        tally.add(left(1) | {"schema": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"confusion": [[1]]},
        {"confusion": [[-5] * 10] * 10},
        {"confusion": [[1.5] * 10] * 9},
        {"confusion": 7},
        {"error_years": "nan"},
        {"error_years": float("nan")},
        {"step": "5"},
        {"day": 5},
        {"day": "today"},
        {"hours": [{"begins": "x", "entered": 5}]},
        {"hours": [{"begins": "2026-01-05", "entered": 5}]},
        {"hours": [{"begins": "0001-01-01T10:00+00:00", "entered": 5}]},
        {"hours": [{"begins": "2026-01-05T10:00+00:00", "entered": -5}]},
        {"groups": [{"age": ["20-39"], "gender": "female", "people": 5}]},
        {"groups": 5},
    ],
)
def test_numbers_that_are_wrong_are_refused_and_nothing_of_them_counts(change: Record) -> None:
    tally = Tally()
    with pytest.raises((LookupError, TypeError, ValueError, AttributeError)):
        tally.add(aggregate("2026-01-05", 10, error_years=3.0) | change)
    assert not tally.cameras and not tally.runs


def test_somebody_during_whose_visit_a_film_was_wound_back_stayed_for_no_time() -> None:
    found = audience([*(left(i, i) for i in range(1, 6)), left(6, 6, first_seen_s=5000.0)])
    assert found.people == 6
    assert found.stay_s == pytest.approx(50 / 6)


# The page


def test_names_of_cameras_and_lines_cannot_break_the_page() -> None:
    bad = "<script>alert(1)</script>"
    lines = {"lines": {bad: {"in": 1, "out": 0}}}
    page = page_of(presence_of(tally_of(left(i, i, camera=bad, **lines) for i in range(1, 9))))
    assert "<script" not in page and "&lt;script&gt;" in page


def test_the_page_needs_no_network_and_no_script() -> None:
    page = page_of(presence_of(tally_of(all_of(week(0, an_hour=2)))))
    assert not re.search(r"https?://|<script|<link|url\(|src=|@import", page)
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n")


def test_columns_have_the_height_of_their_mean_and_share_the_width() -> None:
    cells = [Cell("a", "a", 10), Cell("b – c", "b", 10, 2), Cell("d", "d", 0)]
    drawn = columns(cells)
    assert [column.height for column in drawn] == [COLUMNS_HEIGHT, COLUMNS_HEIGHT / 2, 0]
    assert [column.middle for column in drawn] == [WIDTH / 8, WIDTH / 2, 7 * WIDTH / 8]
    assert columns([]) == []


def test_the_pyramid_has_no_bar_of_a_group_under_five() -> None:
    people = [left(i, i) for i in range(1, 21)] + [
        left(30 + i, i, age_years=70.0) for i in range(4)
    ]
    sides, bands = pyramid(audience(people).groups)
    assert [band for band, _ in bands] == ["60+", "40-59", "20-39", "10-19", "0-9"]
    assert [(side.text, side.width > 0) for side in sides if side.css == "female"] == [
        ("<5", False), ("<5", False), ("20", True), ("<5", False), ("<5", False)
    ]  # fmt: skip


def test_different_people_are_never_more_than_were_counted() -> None:
    assert Twice(100, 0, 1).different(10) == Span95(10, 9, 10)
    assert Twice(100, 100, 1).different(10).value == 0


def test_corrected_numbers_are_drawn_in_fives_as_they_are_told() -> None:
    drawn = [
        pyramid(
            [
                GroupRow("female", "20-39", 100, Corrected(*numbers)),
                GroupRow("male", "20-39", 100, Corrected(100, 80, 120)),
            ]
        )
        for numbers in ((91, 81, 106), (94, 84, 110))
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != pyramid([GroupRow("female", "20-39", 100, Corrected(95, 85, 110))])
