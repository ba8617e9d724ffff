"""The report's page: the numbers of an `Presence` in sentences, tables and drawings."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from files import begins_with
from pages import environment
from people.attention import Audience
from people.correction import Corrected
from people.crowd import LEAST
from people.report.doubles import ALIKE_YEARS, LEAST_PEOPLE, WINDOW_S, Span95
from people.report.groups import down, in_fives, span_in_fives, told, told_share, up
from people.report.presence import Presence, Uptime
from people.report.shapes import columns, pyramid
from people.report.tally import FEW_SAMPLES, POOR_EVIDENCE, SMALL_PX
from people.report.times import zone_of
from people.wording import UNSURE_YEARS
from structures import Gender
from version import VERSION

_MARK = b'<meta name="generator" content="faces: audience report">'
_SEXES = Gender.FEMALE, Gender.MALE
_FLAWS = {
    "unsure": ("Gender unsure", "were told as “unsure”; they count for the likelier gender."),
    "vague": (
        "Age vague",
        f"have an age whose standard deviation is above {UNSURE_YEARS:.0f} years.",
    ),
    "few": (
        "Few looks",
        f"were estimated fewer than {FEW_SAMPLES} times; some of them may be no faces.",
    ),
    "small": ("Small faces", f"had a face of less than {SMALL_PX:.0f} pixels on average."),
    "poor": (
        "Poor pictures",
        "had a face so small, blurred or turned away that its looks counted for less than "
        f"{100 * POOR_EVIDENCE:.0f} % of good ones.",
    ),
}


class QualityRow(NamedTuple):
    """A figure of how far the data can be trusted, and what it counts."""

    name: str
    figure: str
    text: str


def is_report(path: Path) -> bool:
    """Whether a file is a report that this program made."""
    return begins_with(path, rb"(?s).*" + _MARK)


def page_of(presence: Presence | None) -> str:
    """Return the page, a whole HTML document; None makes one that says that nobody was seen.

    Raises:
        SinkError: jinja2 is not installed.
    """
    made = datetime.now(UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    values = {"made": made, "version": VERSION, "mark": _MARK.decode(), "least": LEAST}
    return str(_templates().get_template("audience.html.j2").render(a=presence, **values)) + "\n"


@cache
def _templates() -> Any:
    templates = environment(Path(__file__).resolve().parent)
    functions = (columns, pyramid, in_fives, span_in_fives, told, ratio, seconds, between,
                 moments, zone_of, quality, women)  # fmt: skip
    templates.globals |= {each.__name__: each for each in functions}
    return templates


def seconds(value: float) -> str:
    """A length of time: "8.4 s", "12 min", "3.5 h", "9 days"."""
    for unit, size, limit in (("s", 1, 100), ("min", 60, 6000), ("h", 3600, 360_000)):
        if value < limit:
            number = value / size
            digits = 1 if number < 10 else 0
            return f"{number:.{digits}f}\N{NO-BREAK SPACE}{unit}"
    return f"{value / 86400:.0f} days"


def ratio(attention: Audience) -> Span95 | None:
    """The share of watchers, of the numbers in fives that are told.

    The interval holds those of all numbers that these may have been. None where watchers, or
    those who are none, are fewer than five.
    """
    others = attention.people - attention.watchers
    if attention.watchers < LEAST or 0 < others < LEAST:
        return None
    told = attention.rounded(LEAST)
    low, high = told.bounds
    return Span95(told.watchers / told.people, low or 0.0, high or 0.0)


def between(span: Span95, scale: float = 1.0) -> str:
    """An estimate with its interval: "1,190 (1,150–1,220)"."""
    value, low, high = (round(scale * each) for each in span)
    return f"{value:,} ({low:,}–{high:,})" if value >= LEAST or scale != 1 else told(value)


def moments(first: datetime, last: datetime, word: str = "to") -> str:
    """A time on the page: "Mon 23 Nov 2026, 08:00 to 09:30"."""
    begins, ends = (f"{when:%a} {when.day} {when:%b %Y, %H:%M}" for when in (first, last))
    if first.date() == last.date():
        ends = f"{last:%H:%M}"
    return f"{begins} {word} {ends}"


def women(presence: Presence) -> Span95 | None:
    """The corrected share of women, of the numbers in fives that are told.

    None where one gender is told of fewer than five people.
    """
    sexes = [row for row in presence.groups if row.gender in _SEXES and not row.band]
    shares = {row.gender: row.corrected for row in sexes if row.told >= LEAST and row.corrected}
    known, count = down(presence.known), shares.get(Gender.FEMALE)
    if len(shares) < len(_SEXES) or count is None or min(map(_people, shares.values())) < LEAST:
        return None
    of = sum(down(each.people) for each in shares.values())
    return Span95(
        down(count.people) / of, down(count.low) / up(known + 1), min(up(count.high) / known, 1)
    )


def _people(count: Corrected) -> int:
    return count.people


def quality(presence: Presence) -> list[QualityRow]:
    """How far the data can be trusted."""
    rows = []
    if not presence.twice:
        text = f"how many people were counted twice: there were fewer than {LEAST_PEOPLE}."
        rows.append(QualityRow("Counted twice", "not known", text))
    else:
        span, of = presence.twice.span, presence.twice.people
        figure = in_fives(int(span.value))
        if span.value >= LEAST:
            share = 100 * down(span.value) / down(of)
            figure += f" ({down(span.low):,}–{up(span.high):,}), {share:.0f} %"
        rows.append(
            QualityRow(
                "Counted twice",
                figure,
                f"people probably were, of {in_fives(of)} with an age: so many more came within "
                f"{WINDOW_S:.0f} s of the leaving of somebody alike (age within "
                f"{ALIKE_YEARS:.0f} years, no other gender) than chance explains. A queue looks "
                "the same.",
            )
        )
    for name, (title, text) in _FLAWS.items():
        if name in presence.flaws:
            flaw = presence.flaws[name]
            rows.append(QualityRow(title, told_share(flaw.found, flaw.known), f"people {text}"))
    if presence.people:
        figure = told_share(presence.unknown, presence.people)
        rows.append(QualityRow("No estimate", figure, "people left before any estimate."))
    return rows + [row for each in presence.uptimes for row in _uptime(each)]


def _uptime(camera: Uptime) -> list[QualityRow]:
    """How long a camera ran, and its error."""
    of = f" of camera {camera.name}" if camera.name else ""
    text = f"is how long the program watched{of}; "
    if camera.outages:
        times = "once" if camera.outages == 1 else f"{camera.outages} times"
        text += f"{times} it got no images, {seconds(camera.offline_s)} in all"
    else:
        text += "it always got images"
    if camera.pause_s:
        text += f"; between runs it paused for {seconds(camera.pause_s)}"
    rows = [QualityRow("Time", seconds(camera.watched_s), f"{text}.")]
    if camera.error_years is not None:
        text = f"is how far off told ages{of} are likely to be, on average."
        rows.append(QualityRow("Error of age", f"{camera.error_years:.1f} years", text))
    return rows
