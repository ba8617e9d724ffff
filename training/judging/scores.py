"""Figures of one model on one set with their intervals: for all faces, and by group.

Intervals are the middle 95 % of the figures of resampled sets (percentile bootstrap). Whole
groups of faces, such as a person's, are drawn, because a second photograph of a person adds
little to the first. If all estimates are right, or all wrong, resampling has no spread, and the
exact bound of such a run is used.

Reference:
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3; Davison and
    Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8 (clusters).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from structures import ETHNICITIES, Estimates
from training.chips import Chips
from training.judging.accuracy import (
    Float64,
    Ratio,
    ratios,
    signed_years,
    weighted_auc,
    weighted_median,
)
from training.labels import GENDERS

AGE_BANDS = ((0, 9), (10, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, 120))
FEW = 20  # people below which a figure says little
LEVEL = 0.95
_CHUNK = 2_000_000  # counts of rows held at once


class Metric(NamedTuple):
    """The name and format of a figure.

    Attributes:
        name: its key.
        title: for a column.
        unit: "years", "share" (0..1, shown in per cent) or "" for a plain number.
        less_is_better: None = neither.
        signed: whether it is an excess, shown with its sign.
    """

    name: str
    title: str
    unit: str
    less_is_better: bool | None
    signed: bool = False


METRICS = {
    metric.name: metric
    for metric in (
        Metric("mae_years", "age MAE", "years", True),
        Metric("median_years", "median age error", "years", True),
        Metric("bias_years", "age bias", "years", None, True),
        Metric("cs5", "within 5 years", "share", False),
        Metric("outside_years", "years outside range", "years", True),
        Metric("outside_bias_years", "bias outside range", "years", None, True),
        Metric("inside", "within range", "share", False),
        *(
            Metric(f"class{count}{suffix}", f"{title} of {count}", "share", False)
            for count in (7, 8, 12)
            for suffix, title in (("", "age class"), ("_near", "within one class"))
        ),
        Metric("gender", "gender", "share", False),
        Metric("gender_auc", "gender AUC", "", False),
        Metric("gender_too_sure", "gender, surer than right", "share", None, True),
        Metric("ethnicity", "ethnicity", "share", False),
        Metric("spread_1", "within one spread", "share", None),
        Metric("spread_2", "within two spreads", "share", None),
    )
}


class Score(NamedTuple):
    """A figure.

    Attributes:
        value: NaN if no face has the label.
        low, high: 95 % interval; NaN if there is too little to resample.
        rows: number of faces.
        people: number of groups of faces that belong together.
    """

    value: float
    low: float
    high: float
    rows: int
    people: int

    @property
    def unsure(self) -> bool:
        """Whether it rests on too few people to say much."""
        return self.people < FEW


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Faces with something in common.

    Attributes:
        kind: "all", "gender", "ethnicity", "age", or a caller's own.
        name: as shown.
        rows: `(N,)` which faces.
    """

    kind: str
    name: str
    rows: NDArray[np.bool_]


def groups_of(chips: Chips) -> list[Group]:
    """Return all faces, and those of each gender, ethnicity and age band, without empty groups.

    A range of ages belongs to the band of its middle.
    """
    middle = (chips.age_low + chips.age_high) / 2
    found = [Group("all", "all", np.ones(len(chips), np.bool_))]
    found += [Group("gender", name, chips.female == i) for i, name in enumerate(GENDERS)]
    found += [Group("ethnicity", name, chips.race == i) for i, name in enumerate(ETHNICITIES)]
    for low, high in AGE_BANDS:
        name = f"{low}-{high}" if high < 100 else f"{low}+"
        found.append(Group("age", name, (middle >= low) & (middle < high + 1)))
    return [group for group in found if group.rows.any()]


def measure(
    chips: Chips,
    estimates: Estimates,
    groups: Sequence[Group],
    schemes: Sequence[int] = (),
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Score]]:
    """Return every figure of every group, group -> metric -> score.

    Only metrics that are labelled and estimated are included.

    Args:
        chips: the labels; images are not used.
        estimates: the estimates, row by row.
        groups: as from `groups_of`.
        schemes: which of `AGE_CLASSES` to count classes by.
        resamples: sets to draw for the intervals; 0 = no intervals.
        seed: of the draws.
    """
    parts = ratios(chips, estimates, schemes)
    errors = np.abs(signed_years(chips, estimates))
    exact, known = chips.age_low == chips.age_high, ~np.isnan(chips.female)
    scores = {}
    for group in groups:
        found = ratio_scores(parts, chips.groups, group.rows, resamples, seed)
        rows = np.flatnonzero(group.rows & exact)
        drawn = _draw(chips.groups[rows], resamples, seed)
        medians = [weighted_median(errors[rows], counts) for counts in drawn]
        found["median_years"] = _score(medians, chips.groups[rows])
        rows = np.flatnonzero(group.rows & known)
        female = chips.female[rows] == 1
        # With one gender there is nothing to order.
        drawn = _draw(chips.groups[rows], resamples if len(np.unique(female)) == 2 else 0, seed)
        areas = [weighted_auc(estimates.female_prob[rows], female, counts) for counts in drawn]
        found["gender_auc"] = _score(areas, chips.groups[rows])
        scores[group.name] = {
            name: found[name]
            for name in METRICS
            if name in found and not np.isnan(found[name].value)
        }
    return scores


def ratio_scores(
    parts: dict[str, Ratio],
    people: NDArray[np.str_],
    rows: NDArray[np.bool_],
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Score]:
    """Return the figures that are ratios of sums, with intervals; NaN where nothing is labelled.

    Args:
        parts: name -> what each row adds.
        people: `(N,)` rows with the same text are drawn together.
        rows: `(N,)` which rows count.
        resamples: sets to draw.
        seed: of the draws.
    """
    people = people[rows]
    top = np.stack([part.top[rows] for part in parts.values()], axis=1)
    bottom = np.stack([part.bottom[rows] for part in parts.values()], axis=1)
    drawn = [_divide(counts @ top, counts @ bottom) for counts in _draw(people, resamples, seed)]
    samples = np.concatenate(drawn)
    return {
        name: _score(
            [samples[:, i]], people[bottom[:, i] > 0], _are_shares(top[:, i], bottom[:, i])
        )
        for i, name in enumerate(parts)
    }


def _draw(people: NDArray[np.str_], resamples: int, seed: int) -> Iterator[Float64]:
    """Yield counts, `(B, N)`, of rows in resampled sets; the first is the set itself."""
    yield np.ones((1, len(people)))
    names, which = np.unique(people, return_inverse=True)
    if len(names) < 2:
        return
    rng = np.random.default_rng(seed)
    piece = max(1, _CHUNK // len(people))
    for start in range(0, resamples, piece):
        size = min(piece, resamples - start), len(names)
        drawn = rng.integers(len(names), size=size) + len(names) * np.arange(size[0])[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size[0] * size[1]).reshape(size)
        yield counts[:, which].astype(np.float64)


def _score(samples: Sequence[Float64], people: NDArray[np.str_], shares: bool = False) -> Score:
    """Return a score from its values, in pieces: first on the set itself, then on resampled ones.

    `people` are those of the rows that count; with `shares` each row is right or wrong.
    """
    value, *others = np.concatenate(samples).tolist()
    count = len(np.unique(people))
    low = high = float("nan")
    drawn = np.array(others)[~np.isnan(others)] if others else np.empty(0)
    if len(drawn) and not np.isnan(value):
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
        if shares and value in (0, 1):
            # The share at which a run of all alike becomes rarer than the level allows.
            bound = ((1 - LEVEL) / 2) ** (1 / count)
            low, high = (bound, 1.0) if value == 1 else (0.0, 1 - bound)
    return Score(value, low, high, len(people), count)


def _are_shares(top: Float64, bottom: Float64) -> bool:
    return bool(np.isin(top, (0, 1)).all() and np.isin(bottom, (0, 1)).all())


def _divide(top: Float64, bottom: Float64) -> Float64:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(bottom > 0, top / bottom, np.nan), np.float64)
