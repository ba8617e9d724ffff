"""Figures of one model on one set with their intervals: for all faces, and by group.

Intervals are the middle 95 % of the figures of resampled sets (percentile bootstrap). Whole
groups of faces, such as a person's, are drawn, because a second photograph of a person adds
little to the first. If all estimates are right, or all wrong, resampling has no spread, and the
exact bound of such a run is used.

Reference:
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3; Davison and
    Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8 (clusters).
"""

from collections.abc import Iterator, Mapping, Sequence
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
from training.judging.age_limits import limit_ratios
from training.labels import GENDERS

AGE_BANDS = ((0, 9), (10, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, 120))
# Equal in years, so that the mean over them weighs a year of age, not a face.
SIX_YEARS = tuple((low, low + 5) for low in range(0, 90, 6))
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
        Metric("bands_years", "mean of the MAE of 6-year bands", "years", True),
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
        Metric("minors_adult", "under 18 estimated 18 or more", "share", True),
        Metric("teens_adult", "13-17 estimated 18 or more", "share", True),
        Metric("adults_minor", "18 or more estimated under 18", "share", True),
        Metric("challenge_missed", "14-17 estimated 25 or more", "share", True),
        Metric("challenged_25", "25 or more estimated under 25", "share", True),
        Metric("challenged_30", "30 or more estimated under 25", "share", True),
        Metric("right_13_16", "13-16 estimated 13-16", "share", False),
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
    parts = ratios(chips, estimates, schemes) | limit_ratios(chips, estimates)
    errors = np.abs(signed_years(chips, estimates))
    exact, known = chips.age_low == chips.age_high, ~np.isnan(chips.female)
    scores = {}
    for group in groups:
        found = ratio_scores(parts, chips.groups, group.rows, resamples, seed)
        rows = np.flatnonzero(group.rows & exact)
        drawn = _draw(chips.groups[rows], resamples, seed)
        medians = [weighted_median(errors[rows], counts) for counts in drawn]
        found["median_years"] = _score(medians, chips.groups[rows])
        found["bands_years"] = _of_bands(chips, errors, rows, resamples, seed)
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


def spread_over(scores: Mapping[str, Mapping[str, Score]], names: Sequence[str], key: str) -> float:
    """Return how much groups differ: the worst figure over the geometric mean of all.

    1 = all alike. NaN if a group lacks the figure, or has no errors (0 or less).

    Args:
        scores: group -> metric -> score.
        names: of the groups.
        key: of a metric; of one of which more is better, 1 minus it is compared.

    Reference:
        Grother, "Face Recognition Vendor Test Part 8: Summarizing Demographic Differentials",
        NIST IR 8429, 2022.
    """
    if not names or any(key not in scores.get(name, {}) for name in names):
        return float("nan")
    values = np.array([scores[name][key].value for name in names])
    if METRICS[key].less_is_better is False:
        values = 1 - values
    if (values <= 0).any():
        return float("nan")
    return float(values.max() / np.exp(np.log(values).mean()))


def gender_at_18_30(chips: Chips) -> list[Group]:
    """Return men and women of 18 to 30 years, without empty groups."""
    aged = (chips.age_low >= 18) & (chips.age_high < 31)
    found = [
        Group("gender and age", f"{name} 18-30", aged & (chips.female == i))
        for i, name in enumerate(GENDERS)
    ]
    return [group for group in found if group.rows.any()]


def six_year_bands(chips: Chips) -> list[Group]:
    """Return faces of exact age in bands, 0-5 ... 84-89, without empty groups."""
    exact = chips.age_low == chips.age_high
    found = [
        Group("band", f"{low}-{high}", exact & (chips.age_low >= low) & (chips.age_low < high + 1))
        for low, high in SIX_YEARS
    ]
    return [group for group in found if group.rows.any()]


def _of_bands(
    chips: Chips, errors: Float64, rows: NDArray[np.int64], resamples: int, seed: int
) -> Score:
    """Return the mean of the MAEs of all bands with faces; the ages of `rows` are exact."""
    band = np.digitize(chips.age_low[rows], [high + 1 for _, high in SIX_YEARS])
    rows, band = rows[band < len(SIX_YEARS)], band[band < len(SIX_YEARS)]
    member = np.eye(len(SIX_YEARS))[band]  # (N,) -> (N, 15)
    samples = []
    for counts in _draw(chips.groups[rows], resamples, seed):
        means = _divide(counts @ (member * errors[rows, None]), counts @ member)
        present = ~np.isnan(means)  # (B, 15)
        total = np.where(present, means, 0).sum(axis=1)
        samples.append(_divide(total, present.sum(axis=1)))
    return _score(samples, chips.groups[rows])


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
