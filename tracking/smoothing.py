"""One steady answer per track from many unsteady estimates.

The estimates along a track are far from independent: one face, seen by one model, is wrong
by about the same amount in every frame. Two facts shape what follows (measured with a
MobileNetV2 on a talking head of 1,200 frames at 24 fps: estimated age scattered by 3.2
years, correlated over about 15 frames):

- An estimate's variance, spread², has a systematic part that no number of frames averages
  out, (0.8 spread)², and noise, (0.6 spread)² / weight.
- Noise is an AR(1) process with a correlation time of τ = 12 frames. An estimate made
  `gap` frames after the last one is worth tanh(gap / 2τ) independent ones (the limit of
  the variance of a mean of AR(1) samples: (1 - ρ) / (1 + ρ) with ρ = exp(-gap / τ)), so
  25 frames in a row are worth two. The first one counts in full. (12 frames are half
  a second at 25 fps; at 60 fps the uncertainty shrinks a little too fast.)
"""

import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from structures import Estimates, Float32, Gender, Smoothed
from tracking.boxes import Float64

MEMORY = 64  # estimates kept per track: 2.5 s of every frame, 13 s of every fifth
CORRELATION_FRAMES = 12.0
SYSTEMATIC_SHARE, NOISE_SHARE = 0.8, 0.6  # of the spread; their squares add up to one
LEAST_SPREAD_YEARS = 4.0  # no model is surer about a face, whatever it reports
AGE_STEP_YEARS = 1.0  # the answer moves only by steps of at least this
ENOUGH_LOOKS = 2.25  # effective estimates: noise is then half the systematic part
RECENT, CONFLICT = 5, 2.0  # the last 5 estimates off by more than 2 sd of the noise
EVERY = 5  # a converged track is estimated on every 5th frame
LOG_ODDS_LIMIT = 3.0  # 95 %: neither one estimate nor all are surer; the label can change
LOG_ODDS_BAR = math.log(0.85 / 0.15)  # 85 %: from here on a label is set
CUT = 4.685  # scales from the mean; 95 % efficient for Gaussian noise
STEPS = 3  # of the robust mean


class _PastEstimate(NamedTuple):
    """One estimate as remembered; `fresh` is its worth, given the one before it."""

    age: float
    spread: float
    weight: float
    fresh: float
    ethnicity: Float32 | None


@dataclass(slots=True, eq=False)
class _TrackMemory:
    """What is remembered of one track."""

    answer: Smoothed
    past: deque[_PastEstimate] = field(default_factory=lambda: deque(maxlen=MEMORY))
    last_frame: int = 0
    log_odds: float = 0.0


class TrackSmoother:
    """Keeps a running age, gender and ethnicity for every live track; see `tracking.Smoother`.

    Age is a robust weighted mean over the last `MEMORY` estimates: Tukey's biweight about the
    weighted median, so that a blurred frame counts for nothing, and a wrong start or another
    person is outvoted. The reported value stays until the mean is `AGE_STEP_YEARS` away, and
    is then set to the mean. Its uncertainty falls from the spread of one estimate to 0.8 of
    it, and no further.

    Gender is a bounded sum of log-odds, each clipped and multiplied by the root of its weight
    and by its worth after the last one. `UNSURE` until the sum passes 85 % either way; a
    label, once set, stays until the other side passes 85 %.

    Ethnicity is the weighted mean of the remembered probabilities.

    A track has converged when more estimates would barely change the answer: the noise left
    in the age is at most half its systematic part, a gender is set, and the latest estimates
    agree with both. With a full memory a poorly seen face or an undecided gender counts as
    converged, too. A converged track is due on every `every`th frame only, which loses next
    to nothing (five frames are well within the correlation time), and on all frames again
    when estimates begin to disagree.
    """

    def __init__(self, every: int = EVERY) -> None:
        """Start without tracks; `every` is the period of converged ones, at least 1."""
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.estimates_made = 0
        self.estimates_saved = 0
        self._every = every
        self._memories: dict[int, _TrackMemory] = {}

    def is_due(self, track_id: int, frame_index: int, least_gap: int = 1) -> bool:
        """See `tracking.Smoother`; a frame index below the last one makes every track due."""
        memory = self._memories.get(track_id)
        if memory is None:
            return True
        gap = max(least_gap, self._every if memory.answer.converged else 1)
        due = not 0 <= frame_index - memory.last_frame < gap
        self.estimates_saved += not due
        return due

    def update(
        self,
        track_ids: Sequence[int],
        estimates: Estimates,
        weights: Float32,
        frame_index: int,
    ) -> None:
        """See `tracking.Smoother`."""
        _check(track_ids, estimates, weights)
        self.estimates_made += len(estimates)
        for row in np.flatnonzero(weights > 0).tolist():
            memory = self._memories.setdefault(track_ids[row], _TrackMemory(_NOTHING))
            gap = max(abs(frame_index - memory.last_frame), 1) if memory.past else 1
            memory.last_frame = frame_index
            _take_in(memory, estimates, row, float(weights[row]), gap)

    def forget_except(self, track_ids: Collection[int]) -> None:
        """See `tracking.Smoother`."""
        self._memories = {i: memory for i, memory in self._memories.items() if i in track_ids}

    def current(self, track_id: int) -> Smoothed | None:
        """See `tracking.Smoother`."""
        memory = self._memories.get(track_id)
        return None if memory is None else memory.answer


_NOTHING = Smoothed(math.nan, math.inf, 0.5, Gender.UNSURE, samples=0, converged=False)


def _take_in(memory: _TrackMemory, estimates: Estimates, row: int, weight: float, gap: int) -> None:
    """Add one estimate, made `gap` frames after the last, and update the answer."""
    fresh = math.tanh(gap / (2 * CORRELATION_FRAMES))
    ethnicity = estimates.ethnicity_probs
    estimate = _PastEstimate(
        age=float(estimates.age_years[row]),
        spread=max(float(estimates.age_spread_years[row]), LEAST_SPREAD_YEARS),
        weight=weight,
        fresh=fresh,
        ethnicity=None if ethnicity is None else ethnicity[row].copy(),
    )
    evidence = _clipped_log_odds(float(estimates.female_prob[row])) * math.sqrt(weight)
    worth = fresh if memory.past else 1.0
    total = memory.log_odds + evidence * worth
    memory.log_odds = min(max(total, -LOG_ODDS_LIMIT), LOG_ODDS_LIMIT)
    memory.past.append(estimate)
    memory.answer = _answer(memory)


def _answer(memory: _TrackMemory) -> Smoothed:
    """Return the answer from the memory and the previous answer."""
    before, full = memory.answer, len(memory.past) == MEMORY
    columns = list(zip(*memory.past, strict=True))
    ages, spreads, weights, fresh = (np.array(column, np.float64) for column in columns[:4])
    mean, kept = robust_mean(ages, NOISE_SHARE * spreads, weights * fresh / spreads**2)
    moved = not abs(mean - before.age_years) < AGE_STEP_YEARS  # also from the first NaN
    looks, noise, systematic = _errors(ages - mean, spreads, weights * kept, fresh)
    gender = _label(before.gender, memory.log_odds)
    agrees = abs(np.mean(ages[-RECENT:]) - mean) < CONFLICT * noise
    decided = abs(memory.log_odds) >= LOG_ODDS_BAR and gender is _label(gender, memory.log_odds)
    known = decided or (full and gender is Gender.UNSURE)
    return Smoothed(
        age_years=mean if moved else before.age_years,
        age_uncertainty_years=math.sqrt(systematic**2 + noise**2 / looks),
        female_prob=1 / (1 + math.exp(-memory.log_odds)),
        gender=gender,
        samples=before.samples + 1,
        converged=bool((looks >= ENOUGH_LOOKS or full) and agrees and known),
        ethnicity_probs=_mean_ethnicity(memory.past),
    )


def robust_mean(values: Float64, scales: Float64, weights: Float64) -> tuple[float, Float64]:
    """Return Tukey's biweight mean about the weighted median, in a few steps of its W-form.

    Also the fraction (N,) in 0..1 of each weight that counts. A value further than `CUT` of its
    scales from the mean does not count. Each step's mean lies between values that count, so
    some value always does.

    Args:
        values: (N,), N >= 1.
        scales: (N,) > 0, one standard deviation of the noise of each.
        weights: (N,) > 0.

    Reference: Maronna, Martin, Yohai, Salibián-Barrera, "Robust Statistics", 2nd edition
    2019, sections 2.3 (M-estimators of location) and 2.8.1 (the W-form).
    """
    order = np.argsort(values, kind="stable")
    middle = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    mean = float(values[order[middle]])
    kept = np.ones_like(values)
    for _ in range(STEPS):
        distance = (values - mean) / (CUT * scales)
        kept = np.square(np.maximum(1 - distance**2, 0))
        mean = float(np.average(values, weights=weights * kept))
    return mean, kept


def _errors(
    residuals: Float64, spreads: Float64, weights: Float64, fresh: Float64
) -> tuple[float, float, float]:
    """Return how many independent estimates there are, their noise, and the common error.

    The noise is that of an estimate of weight 1, in years; larger than the model reports
    where the estimates scatter more.
    """
    mean_weight = np.average(weights, weights=fresh)
    spread = float(np.average(spreads, weights=weights * fresh))
    scatter = float(np.average(residuals**2, weights=weights * fresh))
    noise = max(NOISE_SHARE * spread, math.sqrt(scatter))
    return float(mean_weight * (1 + fresh[1:].sum())), noise, SYSTEMATIC_SHARE * spread


def _label(before: Gender, log_odds: float) -> Gender:
    """The label that passes its bar, else the previous one."""
    if abs(log_odds) < LOG_ODDS_BAR:
        return before
    return Gender.FEMALE if log_odds > 0 else Gender.MALE


def _mean_ethnicity(past: Collection[_PastEstimate]) -> Float32 | None:
    """Weighted mean of the probabilities that the estimates have."""
    known = [each for each in past if each.ethnicity is not None]
    if not known:
        return None
    weights = [each.weight * each.fresh for each in known]
    return np.average([each.ethnicity for each in known], axis=0, weights=weights).astype("f4")


def _clipped_log_odds(probability: float) -> float:
    """The log-odds of a probability in 0..1, within ±`LOG_ODDS_LIMIT`."""
    limit = 1 / (1 + math.exp(LOG_ODDS_LIMIT))
    probability = min(max(probability, limit), 1 - limit)
    return math.log(probability / (1 - probability))


def _check(track_ids: Sequence[int], estimates: Estimates, weights: Float32) -> None:
    """Raise ValueError unless the arguments of `TrackSmoother.update` fit together."""
    lengths = len(track_ids), len(estimates), len(weights)
    if len(set(lengths)) > 1:
        raise ValueError(f"want as many ids as estimates and weights, got {lengths}")
    if not (np.isfinite(weights) & (weights >= 0) & (weights <= 1)).all():
        raise ValueError(f"weights must be in 0..1, got {weights}")
    for name in ("age_years", "age_spread_years", "female_prob", "ethnicity_probs"):
        values = getattr(estimates, name)
        if values is not None and not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite, got {values}")
