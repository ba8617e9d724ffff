"""What a run saw, in a sentence."""

import pytest

from people.crowd import Crowd
from people.story import story
from structures import ATTRIBUTES, Gender, HeadPose, Smoothed
from tests.web_parts import person, result

MAN = Smoothed(50.2, 4.2, 0.1, Gender.MALE, 9, True)
GIRL = Smoothed(8.0, 2.0, 0.9, Gender.FEMALE, 9, True)
UNSURE = Smoothed(30.0, 5.0, 0.5, Gender.UNSURE, 9, True)


def told(
    people: dict[int, Smoothed | None],
    seconds: float = 18.0,
    attributes: tuple[str, ...] = ATTRIBUTES,
    anonymous: bool = False,
) -> str:
    crowd = Crowd(attributes, anonymous=anonymous)
    for index, (track_id, one) in enumerate(people.items()):
        crowd.update(result(index, {track_id: one}))
    crowd.end()
    return story(crowd, seconds)


def test_a_few_people_are_told_one_by_one_in_the_order_they_came() -> None:
    assert told({1: MAN, 2: GIRL, 3: None}) == (
        "3 people in 18 s: a man of about 50 (46-54), a girl of about 8 (6-10), somebody"
    )


def test_who_came_back_is_told_once_with_what_is_known_at_last() -> None:
    crowd = Crowd()
    for index, people in enumerate(({1: UNSURE}, {2: GIRL}, {1: MAN})):
        crowd.update(result(index, dict(people)))
    crowd.end()
    assert story(crowd, 18.0) == (
        "2 people in 18 s: a man of about 50 (46-54), a girl of about 8 (6-10)"
    )


@pytest.mark.parametrize(("age", "words"), [(15.4, "boy of about 15"), (15.6, "man of about 16")])
def test_who_is_a_child_follows_from_the_age_that_is_told(age: float, words: str) -> None:
    assert words in told({1: person(age, Gender.MALE)})


def test_one_is_a_person_and_none_is_nobody() -> None:
    assert told({1: UNSURE}) == "1 person in 18 s: a person of about 30 (25-35)"
    assert told({}, 180.0) == "nobody in 3 min"


@pytest.mark.parametrize(
    ("attributes", "words"),
    [(("gender",), "a man"), (("age",), "a person of about 50 (46-54)"), ((), "somebody")],
)
def test_only_what_was_asked_for_is_told(attributes: tuple[str, ...], words: str) -> None:
    assert told({1: MAN}, attributes=attributes) == f"1 person in 18 s: {words}"


def test_many_people_are_told_as_groups() -> None:
    crowd = {i: person(20.0 + i % 9, Gender.FEMALE if i % 3 else Gender.MALE) for i in range(1, 41)}
    text = told(dict(crowd))
    assert text.startswith("40 people in 18 s; ") and "female 27, male 13" in text
    assert "female" not in told(dict(crowd), attributes=("age",))


def test_of_an_anonymous_crowd_nobody_is_told() -> None:
    assert told({1: MAN}, anonymous=True) == "fewer than 5 people in 18 s"
    seven = dict.fromkeys(range(1, 8), MAN)
    assert told(dict(seven), anonymous=True).startswith("at least 5 people in 18 s")


@pytest.mark.parametrize("attention", [True, False])
def test_it_ends_with_those_who_looked_this_way_where_that_is_asked_for(attention: bool) -> None:
    crowd, poses = Crowd(attention=attention), {1: HeadPose(0, 0), 2: HeadPose(60, 0)}
    for index in range(10):
        crowd.update(result(index, {1: MAN, 2: GIRL}, poses=poses))
    crowd.end()
    ending = "; 1 of 2 looked this way"
    assert story(crowd, 18.0).endswith(ending) == attention


def test_of_an_anonymous_audience_it_tells_bounds() -> None:
    crowd = Crowd(anonymous=True, attention=True)
    people = dict.fromkeys(range(1, 10), MAN)
    poses = {i: HeadPose(0, 0) if i < 6 else HeadPose(60, 0) for i in people}
    for index in range(10):
        crowd.update(result(index, dict(people), poses=poses))
    crowd.end()
    assert story(crowd, 18.0).endswith("; at least 5 of at least 5 looked this way")
