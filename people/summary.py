"""The numbers of all cameras together at a moment, as page, /metrics and the story tell them."""

from dataclasses import dataclass
from typing import Any

from people.attention import Audience
from people.correction import Counts
from people.visits import Visit


@dataclass(frozen=True, slots=True)
class Summary:
    """How many people all cameras have seen; what the page and /metrics show.

    A number is None where it may not be reported: below five people in an anonymous crowd.

    Attributes:
        now: people in view, by camera; cameras without images are left out.
        now_total: their sum; also None where no camera has images.
        today: people seen since midnight, or since the run began.
        seen: people seen since the run began.
        groups: of `today`, those with an estimate, by gender and `AGE_BANDS`.
        left: of `seen`, those who left and had an estimate, likewise; never falls.
        recent: most people in view at once in steps of 5 s, oldest first; None = unknown.
        day: the same in steps of 15 minutes.
        newest: the newest visits, newest first; none where anonymous.
        gone: of `seen`, those who left.
        stays_s: how long those had been in view, all together; None where anonymous.
        hours: who came and went in each of the last 48 hours in which somebody did.
        days: the same by day, of the last 31.
        groups_corrected: what `groups` is thought to be in truth, by gender and
            `RECORD_BANDS`, "" for all of either; None where nothing is known of the network's
            errors, or anonymous: the numbers move with every single person.
        left_corrected: the same of `left`.
        audience: who of those that left today looked this way; None unless asked for.
        audiences: the same since the run began, by camera; never falls.
        errors_years: how far off told ages are likely to be, by camera; see `ExpectedError`.
        places: lines and zones of today, by camera, as in aggregate records.
        places_run: the same since the run began; groups of those who left, by `AGE_BANDS`.
    """

    now: dict[str, int | None]
    now_total: int | None
    today: int | None
    seen: int | None
    groups: dict[tuple[str, str], int | None]
    left: dict[tuple[str, str], int | None]
    recent: tuple[int | None, ...]
    day: tuple[int | None, ...]
    newest: tuple[Visit, ...]
    gone: int | None
    stays_s: float | None
    hours: list[dict[str, Any]]
    days: list[dict[str, Any]]
    groups_corrected: Counts | None
    left_corrected: Counts | None
    audience: Audience | None
    audiences: dict[str, Audience]
    errors_years: dict[str, float | None]
    places: dict[str, dict[str, Any]]
    places_run: dict[str, dict[str, Any]]
