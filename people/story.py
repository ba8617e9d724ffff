"""What a run saw, in a sentence for people."""

import functools
from collections.abc import Collection, Iterable

from people.attention import NOBODY, Audience
from people.crowd import LEAST, Crowd
from people.summary import Summary
from people.visits import Visit
from people.wording import UNSURE_YEARS, counted, passage_words
from structures import Gender

_MOST = 6  # people who are told one by one
_GROWN = 16  # years; younger ones are called children
_NOUNS = {
    Gender.MALE: ("boy", "man"),
    Gender.FEMALE: ("girl", "woman"),
    Gender.UNSURE: ("child", "person"),
}


def story(crowd: Crowd, seconds: float) -> str:
    """E.g. "3 people in 18 s: a man of about 50 (46-54), a woman of about 29 (24-34), ...".

    Of many people it tells what `words` does. `seconds` is how long the film or the run was.
    """
    summary, attributes = crowd.summary(), crowd.attributes
    time = f"{max(seconds, 1):.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    if summary.seen is None:
        return f"fewer than {LEAST} people in {time}"
    least = "at least " if crowd.anonymous else ""
    people = f"{least}{counted(summary.seen, 'person', 'people')} in {time}"
    if not summary.seen:
        return f"nobody in {time}"
    passages = [text for each in summary.places.values() for text in passage_words(each).values()]
    looks = [*_looks(summary.audiences.values(), least), *passages]
    if summary.seen <= min(_MOST, len(summary.newest)):
        # Who came back is one person: the last visit knows most.
        visits = {(each.camera, each.track_id): each for each in reversed(summary.newest)}
        told = [_one(visit, attributes) for visit in visits.values()]
        return "; ".join([f"{people}: {', '.join(told)}", *looks])
    return "; ".join([people, *_details(crowd, summary), *looks])


def _looks(audiences: Iterable[Audience], least: str) -> list[str]:
    everybody = functools.reduce(Audience.plus, audiences, NOBODY)
    watchers, people = everybody.watchers, everybody.people
    return [f"{least}{watchers} of {least}{people} looked this way"] if people else []


def words(crowd: Crowd) -> str:
    """One line about all people so far, for the end of a run; empty where none may be told."""
    summary = crowd.summary()
    if not summary.seen:
        return ""
    return "; ".join([f"people: {summary.seen} seen", *_details(crowd, summary)])


def _details(crowd: Crowd, summary: Summary) -> list[str]:
    """How long people stayed, and how many there are of each gender, as texts."""
    told = []
    if summary.gone and summary.stays_s is not None:
        told.append(f"in view for {summary.stays_s / summary.gone:.1f} s on average")
    if "gender" in crowd.attributes:
        left = [(gender, n) for (gender, _), n in summary.left.items() if n]
        sums = [(g, sum(n for other, n in left if other == g)) for g in Gender]
        told.append(", ".join(f"{gender} {n}" for gender, n in sums if n))
        if summary.left_corrected is not None:
            sexes = (Gender.FEMALE, Gender.MALE)
            counts = [f"{g} {summary.left_corrected[g, '']}" for g in sexes]
            told.append(f"corrected: {', '.join(counts)}")
        elif not crowd.anonymous:
            told.append("not corrected: the errors of these weights are not known")
    return [word for word in told if word]


def _one(visit: Visit, attributes: Collection[str]) -> str:
    person = visit.person
    if person is None or not {"age", "gender"} & set(attributes):
        return "somebody"
    gender = person.gender if "gender" in attributes else Gender.UNSURE
    child, grown = _NOUNS[gender]
    age, spread = person.age_years, max(1.0, person.age_uncertainty_years)
    if "age" not in attributes or spread > 2 * UNSURE_YEARS:
        return f"a {grown}"
    low, high = max(0, round(age - spread)), round(age + spread)
    return f"a {child if round(age) < _GROWN else grown} of about {age:.0f} ({low}-{high})"
