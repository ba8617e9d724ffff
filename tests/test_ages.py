"""The mean ages of aggregate records."""

import math
import random
from statistics import fmean

import pytest

from structures import Gender, Smoothed
from tests.test_crowd import DAY_S, Hall
from tests.web_parts import person

NOBODY = {"female": None, "male": None}


def test_the_mean_age_is_that_of_those_who_left_with_an_estimate() -> None:
    chance, hall = random.Random(3), Hall()
    everybody: dict[int, Smoothed | None] = {
        i: person(chance.uniform(0, 90), chance.choice(list(Gender))) for i in range(200)
    }
    hall.see(everybody | {998: None, 999: person(math.nan)})
    assert hall.aggregate()["age_years"] is None
    assert hall.aggregate()["age_years_by_gender"] == NOBODY
    hall.see({})
    known = [one for one in everybody.values() if one]
    told = hall.aggregate()
    assert told["people"] == 202
    assert told["age_years"] == pytest.approx(fmean(p.age_years for p in known), abs=0.051)
    for gender in (Gender.FEMALE, Gender.MALE):
        mean = fmean(p.age_years for p in known if p.gender is gender)
        assert told["age_years_by_gender"][gender] == pytest.approx(mean, abs=0.051)


def test_each_camera_and_each_day_has_a_mean_of_its_own() -> None:
    hall = Hall()
    for camera, age in (("door", 20.0), ("yard", 60.0)):
        hall.see({1: person(age)}, camera=camera)
        hall.see({}, camera=camera)
    assert [hall.aggregate(c)["age_years"] for c in ("door", "yard", "roof")] == [20, 60, None]
    hall.see({2: person(30.0)}, wait_s=DAY_S, camera="door")
    assert [hall.aggregate(camera)["age_years"] for camera in ("door", "yard")] == [None, None]
    hall.see({}, camera="door")
    assert hall.aggregate("door")["age_years"] == 30
    hall.crowd.reset()
    assert hall.aggregate("door")["age_years"] is None


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        (("age",), {"age_years": 40.0}),
        (("gender",), {}),
        (("age", "gender"), {"age_years": 40.0, "age_years_by_gender": NOBODY | {"male": 40.0}}),
    ],
)
def test_ages_are_told_only_where_they_are_asked_for(
    attributes: tuple[str, ...], told: dict[str, object]
) -> None:
    hall = Hall(*attributes)
    hall.see({1: person(40.0, Gender.MALE)})
    hall.see({})
    means = {k: value for k, value in hall.aggregate().items() if k.startswith("age_years")}
    assert means == told


def test_an_anonymous_mean_is_never_told() -> None:
    hall = Hall(anonymous=True)
    hall.see({i: person(40.0) for i in range(50)})
    hall.see({}, wait_s=61)
    hall.crowd.end()
    assert hall.aggregate()["people"] == 50
    assert hall.aggregate()["age_years"] is None
    assert hall.aggregate()["age_years_by_gender"] == NOBODY
