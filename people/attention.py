"""Who looked this way, and how long: audience measures of heads that point at the camera.

What is measured is where a head points, not the gaze and not interest. docs/events.md has
the definitions.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from structures import SLACK_S, HeadPose
from tracking.poses import GAP_S

# People turn the head, not only the eyes, for what lies more than about 20 degrees away (Stahl,
# "Amplitude of human head movements associated with horizontal saccades", Experimental Brain
# Research 126, 1999). The bands are two to three times the error of a pose; pitch is worse.
YAW_DEG, PITCH_DEG = (20.0, 30.0), (25.0, 35.0)  # up to here one looks, from there one does not
HELD_S = 0.3  # for so long at least; about one fixation
_Z = 1.959964  # 95 % of a normal distribution


@dataclass(frozen=True, slots=True)
class Attention:
    """What one visit gave; `after` makes the next one, and none grows.

    Attributes:
        known_s: how long the pose of the head was known.
        looked_s: how long of that the head pointed this way.
        looking: whether it does.
    """

    known_s: float = 0.0
    looked_s: float = 0.0
    looking: bool = False
    _last_s: float = -math.inf
    _turned_s: float | None = None  # since when it seems to be the other way round

    def after(self, pose: HeadPose, time_s: float) -> "Attention":
        """Take in the pose of a frame of that time.

        Looking begins and ends when the pose has said so for `HELD_S`, and then counts from when
        it first did; between the bounds nothing changes. After `GAP_S` without a pose, and where
        time goes back, nobody knows: one does not look, and the time between is not counted.
        """
        before = self
        if not 0 <= time_s - self._last_s <= GAP_S:
            before = replace(self, looking=False, _last_s=time_s, _turned_s=None)
        looking, began_s = before.looking, before._turned_s
        step_s = time_s - before._last_s
        known_s, looked_s = before.known_s + step_s, before.looked_s
        turned_s = None
        if _points_away(pose) if looking else _points_here(pose):
            turned_s = time_s if began_s is None else began_s
        if looking and began_s is None:
            looked_s += step_s
        elif looking and began_s is not None and turned_s is None:  # it was only a moment
            looked_s += time_s - began_s
        if turned_s is not None and time_s - turned_s >= HELD_S - SLACK_S:
            looking = not looking
            looked_s += (time_s - turned_s) * looking
            turned_s = None
        return Attention(known_s, looked_s, looking, time_s, turned_s)

    @property
    def attention_s(self) -> float | None:
        """How long somebody looked this way; None where the pose was hardly ever known."""
        return self.looked_s if self.known_s >= HELD_S - SLACK_S else None

    @property
    def watched(self) -> bool | None:
        """Whether somebody looked this way; None likewise."""
        seconds = self.attention_s
        return None if seconds is None else seconds > 0


def _points_here(pose: HeadPose) -> bool:
    return abs(pose.yaw_deg) <= YAW_DEG[0] and abs(pose.pitch_deg) <= PITCH_DEG[0]


def _points_away(pose: HeadPose) -> bool:
    return abs(pose.yaw_deg) > YAW_DEG[1] or abs(pose.pitch_deg) > PITCH_DEG[1]


@dataclass(frozen=True, slots=True)
class Audience:
    """Those who left, of one camera or several.

    Attributes:
        people: had an opportunity to see: the pose of their head was known.
        watchers: of these, looked this way.
        attention_s: how long these did, all together.
        dwell_s: how long `people` were in view, all together.
        spare: by how much either number of people may be larger, as it was rounded down.
    """

    people: int = 0
    watchers: int = 0
    attention_s: float = 0.0
    dwell_s: float = 0.0
    spare: int = 0

    def plus(self, other: "Audience") -> "Audience":
        """Both together."""
        return Audience(
            self.people + other.people,
            self.watchers + other.watchers,
            self.attention_s + other.attention_s,
            self.dwell_s + other.dwell_s,
            self.spare + other.spare,
        )

    @classmethod
    def of(cls, visits: Iterable[tuple[Attention, float]]) -> "Audience":
        """Visits that are over, with how long each was; without those of unknown pose."""
        known = [(a.attention_s, dwell_s) for a, dwell_s in visits if a.attention_s is not None]
        looks = [seconds for seconds, _ in known]
        watchers = sum(seconds > 0 for seconds in looks)
        return cls(len(known), watchers, sum(looks), sum(dwell_s for _, dwell_s in known))

    def rounded(self, step: int) -> "Audience":
        """Numbers of people rounded down to multiples; no times, which move with each person."""
        people, watchers = (n // step * step for n in (self.people, self.watchers))
        return Audience(people, watchers, math.nan, math.nan, step - 1)

    @property
    def bounds(self) -> tuple[float, float] | tuple[None, None]:
        """The 95 % interval of the share of watchers, whatever rounded numbers were; see `wilson`.

        None without people.
        """
        if not self.people:
            return None, None
        most = range(self.spare + 1)
        may_be = [(self.watchers + w, self.people + p) for w in most for p in most]
        spans = [wilson(hits, tries) for hits, tries in may_be if hits <= tries]
        lows, highs = zip(*spans, strict=True)
        return min(lows), max(highs)

    def as_json(self) -> dict[str, Any]:
        """As in aggregate records, and for the page; of rounded numbers there is no ratio."""
        low, high = self.bounds
        return {
            "people": self.people,
            "watchers": self.watchers,
            "ratio": None if self.spare else _share(self.watchers, self.people, 4),
            "low": low,
            "high": high,
            "attention_s": _share(self.attention_s, self.watchers, 1),
            "dwell_s": _share(self.dwell_s, self.people, 1),
        }


NOBODY = Audience()


def _share(part: float, whole: int, digits: int) -> float | None:
    return round(part / whole, digits) if whole and math.isfinite(part) else None


def wilson(hits: int, tries: int) -> tuple[float, float] | tuple[None, None]:
    """The 95 % interval of a share, None without tries.

    Reference: Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22, 1927, equation 5.
    """
    if not tries:
        return None, None
    share, spare = hits / tries, _Z**2 / tries
    middle = (share + spare / 2) / (1 + spare)
    half = math.sqrt(spare * (share * (1 - share) + spare / 4)) / (1 + spare)
    return max(round(middle - half, 4), 0.0), min(round(middle + half, 4), 1.0)
