"""What the page shows, as JSON; small groups left out where only aggregates are allowed."""

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from people.census import BANDS, GENDERS, Counts, Person, Summary
from structures import ETHNICITIES, SourceState
from web.board import Board, Posted

SMALLEST_GROUP = 5
SILENT_S = 10.0  # a frame loop that is not heard of for so long is stuck, or paused


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change during a run.

    Attributes:
        title: of the page; holds no secrets.
        attributes: which of `structures.ATTRIBUTES` to tell.
        anonymous: aggregates only: no pictures, no persons, no small groups.
        webrtc: whether it can be had.
        began_s: when the run began, seconds since 1970.
    """

    title: str
    attributes: Collection[str]
    anonymous: bool
    webrtc: bool
    began_s: float


def concealed(number: int) -> int | None:
    """Return a number of people as far as aggregates may tell it.

    Fewer than five are None; above that it is rounded down to a multiple of five: else
    the difference between two moments, or between a sum and its parts, tells of one person.
    """
    return number - number % SMALLEST_GROUP if number >= SMALLEST_GROUP else None


def grouped(counts: Counts, attributes: Collection[str]) -> dict[tuple[str, str], int]:
    """Return {(gender, age band): people}, with "" for what is not told.

    Args:
        counts: (3, 9) int64, `GENDERS` by `BANDS`.
        attributes: which of `structures.ATTRIBUTES` to tell.
    """
    genders: tuple[str, ...] = GENDERS
    bands: tuple[str, ...] = BANDS
    if "gender" not in attributes:
        genders, counts = ("",), counts.sum(axis=0, keepdims=True)
    if "age" not in attributes:
        bands, counts = ("",), counts.sum(axis=1, keepdims=True)
    return {
        (str(gender), band): int(counts[i, j])
        for i, gender in enumerate(genders)
        for j, band in enumerate(bands)
    }


def page_state(board: Board, facts: Facts) -> dict[str, Any]:
    """Return everything that the page shows, ready for `json.dumps`."""
    posted, summary = board.everything()
    tell = concealed if facts.anonymous else int
    groups = grouped(summary.groups, facts.attributes)
    state = {
        "title": facts.title,
        "anonymous": facts.anonymous,
        "attributes": list(facts.attributes),
        "webrtc": facts.webrtc and not facts.anonymous,
        "began_s": facts.began_s,
        "now_s": time.time(),
        "problem": problem(board, posted),
        "cameras": [_camera(one, summary, facts.anonymous) for one in posted.values()],
        "people_now": tell(sum(summary.now.values())) if summary.now else None,
        "people_now_known": bool(summary.now),
        "people_today": tell(summary.today),
        "genders": list(dict.fromkeys(gender for gender, _ in groups)),
        "bands": list(dict.fromkeys(band for _, band in groups)),
        "groups": [
            {"gender": gender, "band": band, "people": tell(number)}
            for (gender, band), number in groups.items()
        ],
        "timelines": {"recent": summary.recent, "day": summary.day},
        "people": [] if facts.anonymous else [_row(p, facts.attributes) for p in summary.people],
    }
    if facts.anonymous:
        state["timelines"] = {
            name: [None if number is None else concealed(number) for number in series]
            for name, series in (("recent", summary.recent), ("day", summary.day))
        }
    return state


def problem(board: Board, posted: Mapping[str, Posted]) -> str:
    """Say in one line why no new pictures come; empty while all is well."""
    silence_s = board.silence_s
    if not posted or silence_s is None:
        return "no frame has come yet"
    if silence_s > SILENT_S:
        return f"nothing was processed for {silence_s:.0f} s: paused, or stuck"
    words = []
    for camera, one in posted.items():
        status = one.result.status
        if status.state is not SourceState.LIVE:
            told = f"{status.state}: {status.detail}" if status.detail else str(status.state)
            words.append(f"{camera}: {told}" if camera else told)
    return "; ".join(words)


def _camera(posted: Posted, summary: Summary, anonymous: bool) -> dict[str, Any]:
    result = posted.result
    people = summary.now.get(result.camera)
    age_ms = result.latency_ms(time.monotonic())
    return {
        "name": result.camera,
        "state": str(result.status.state),
        "detail": result.status.detail,
        "reconnects": result.status.reconnects,
        "load": result.load,
        "fps": round(result.fps, 1),
        "frame_age_ms": None if age_ms is None else round(age_ms),
        "time_s": round(result.frame.time_s, 1) if math.isfinite(result.frame.time_s) else None,
        "dropped": result.dropped,
        "size_wh": result.frame.size_wh,
        "people_now": concealed(people) if anonymous and people is not None else people,
    }


def _row(person: Person, attributes: Collection[str]) -> dict[str, Any]:
    known = person.smoothed
    row: dict[str, Any] = {
        "camera": person.camera,
        "id": person.track_id,
        "first_s": round(person.first_s, 1),
        "last_s": round(person.last_s, 1),
        "here": person.here,
        "samples": known.samples if known else 0,
    }
    if known and "age" in attributes and math.isfinite(known.age_years):
        row["age_years"] = round(known.age_years, 1)
        row["age_uncertainty_years"] = round(known.age_uncertainty_years, 1)
    if known and "gender" in attributes:
        row["gender"] = known.gender.value
    if known and "ethnicity" in attributes and known.ethnicity_probs is not None:
        row["ethnicity"] = ETHNICITIES[int(np.argmax(known.ethnicity_probs))]
    return row
