"""One steady answer per track from many unsteady estimates.

The estimates along a track are far from independent: one face, seen by one model, is wrong
by about the same amount in every frame. Two facts shape what follows (measured with the
default model on a talking head of 200 s, and on 4,000 photographs that it never learnt from):

- An estimate's variance, spread², has a systematic part that no number of looks averages
  out, `SYSTEMATIC_SHARE`² of it, and noise, the rest, divided by the evidence weight.
- Noise is an AR(1) process with a correlation time of τ = 0.48 s. An estimate made `gap`
  seconds after the last one is worth tanh(gap / 2τ) independent ones (the limit of the
  variance of a mean of AR(1) samples: (1 - ρ) / (1 + ρ) with ρ = exp(-gap / τ)), so a
  second is worth two, at any number of frames. The first one counts in full.
"""

import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from structures import SLACK_S, Estimates, Float32, Gender, Smoothed
from tracking.boxes import Float64

MEMORY_S = 30.0  # how far back estimates are remembered
SETTLED_S = 7.0  # from then on a poorly seen face or an undecided gender is taken as it is
STEP_S = 0.1  # estimates of so short a time are remembered as one
RELEASED = 32  # of these, of somebody who left
CORRELATION_S = 0.48
SYSTEMATIC_SHARE = 0.98  # of the spread
NOISE_SHARE = math.sqrt(1 - SYSTEMATIC_SHARE**2)
SCATTER_SHARE = 0.6  # of the spread: frames of a film scatter up to this much
LEAST_SPREAD_YEARS = 2.0  # no model is surer about a face, whatever it reports
LEASH_YEARS = 2.0  # the age told follows the mean no closer than this
ENOUGH_LOOKS = 2.25  # effective estimates
RECENT, CONFLICT = 5, 2.0  # the mean of the last 5 estimates off by 2 sd of the noise or more
EVERY_S = 0.2  # a converged track is estimated this often
LOG_ODDS_LIMIT = 4.0  # 98 %: no estimate is surer
LOG_ODDS_BAR = math.log(0.87 / 0.13)  # 87 %: from here on a label is set, and 97 % are right
EVIDENCE_GAIN, PRIOR_LOOKS = 1.25, 0.5  # of the mean log-odds; see `_evidence`
CUT = 4.685  # scales from the mean; 95 % efficient for Gaussian noise
STEPS = 3  # of the robust mean


class _Moment(NamedTuple):
    """The estimates of up to `STEP_S` seconds, averaged; `fresh` is their worth in all."""

    start_s: float
    fresh: float
    weight: float
    age: float
    spread: float
    log_odds: float
    ethnicity: Float32 | None


@dataclass(slots=True, eq=False)
class _TrackMemory:
    """What is remembered of one track."""

    answer: Smoothed
    past: deque[_Moment] = field(default_factory=deque)
    first_s: float = math.inf
    last_s: float = -math.inf


class TrackSmoother:
    """Keeps a running age, gender and ethnicity for every live track; see `tracking.Smoother`.

    Age is a robust weighted mean over the last `MEMORY_S` seconds: Tukey's biweight about the
    weighted median, so that a blurred frame counts for nothing, and a wrong start or another
    person is outvoted. The reported value follows the mean on a leash: it moves only where it
    would be more than `LEASH_YEARS` away, and no further than to there. Its uncertainty
    falls from the spread of one estimate to the systematic share of it, and no further.

    Gender is the weighted mean of the log-odds over the same time, times a gain that grows
    with the number of independent looks. `UNSURE` until that passes the bar either way; a
    label, once set, stays until the other side passes it.

    Ethnicity is the weighted mean of the remembered probabilities.

    A track has converged when more estimates would barely change the answer: there were
    `ENOUGH_LOOKS`, a gender is set, and the latest estimates agree with both. After `SETTLED_S`
    a poorly seen face or an undecided gender counts as converged, too. A converged track is due
    every `every_s` seconds only, which loses next to nothing (well within the correlation
    time), and on all frames again when estimates begin to disagree.
    """

    def __init__(self, every_s: float = EVERY_S) -> None:
        """Start without tracks; `every_s` is the period of converged ones, above 0."""
        if not every_s > 0:
            raise ValueError(f"every_s must be above 0, got {every_s}")
        self.estimates_made = 0
        self.estimates_saved = 0
        self._every_s = every_s
        self._memories: dict[int, _TrackMemory] = {}

    def is_due(self, track_id: int, time_s: float, least_gap_s: float = 0.0) -> bool:
        """See `tracking.Smoother`; a time before the last one makes every track due."""
        memory = self._memories.get(track_id)
        if memory is None:
            return True
        gap_s = max(least_gap_s, self._every_s if memory.answer.converged else 0.0)
        due = not 0 <= time_s - memory.last_s < gap_s - SLACK_S
        self.estimates_saved += not due
        return due

    def update(
        self,
        track_ids: Sequence[int],
        estimates: Estimates,
        weights: Float32,
        time_s: float,
    ) -> None:
        """See `tracking.Smoother`."""
        _check(track_ids, estimates, weights)
        self.estimates_made += len(estimates)
        for row in np.flatnonzero(weights > 0).tolist():
            memory = self._memories.setdefault(track_ids[row], _TrackMemory(_NOTHING))
            _take_in(memory, estimates, row, float(weights[row]), time_s)

    def release(self, track_id: int) -> object:
        """See `tracking.Smoother`; no more than `RELEASED` moments are kept, spread evenly."""
        memory = self._memories.pop(track_id, None)
        if memory is not None:
            every = math.ceil(max(len(memory.past), 1) / RELEASED)
            memory.past = deque(list(memory.past)[::-every][::-1])
        return memory

    def resume(self, track_id: int, memory: object, time_s: float) -> None:
        """See `tracking.Smoother`; the time between does not count."""
        if isinstance(memory, _TrackMemory):
            away_s = time_s - EVERY_S - memory.last_s
            moments = [each._replace(start_s=each.start_s + away_s) for each in memory.past]
            memory.past = deque(moments)
            memory.first_s, memory.last_s = memory.first_s + away_s, memory.last_s + away_s
            self._memories[track_id] = memory

    def forget_except(self, track_ids: Collection[int]) -> None:
        """See `tracking.Smoother`."""
        self._memories = {i: memory for i, memory in self._memories.items() if i in track_ids}

    def current(self, track_id: int) -> Smoothed | None:
        """See `tracking.Smoother`."""
        memory = self._memories.get(track_id)
        return None if memory is None else memory.answer


_NOTHING = Smoothed(math.nan, math.inf, 0.5, Gender.UNSURE, samples=0, converged=False)


def _take_in(
    memory: _TrackMemory, estimates: Estimates, row: int, weight: float, time_s: float
) -> None:
    """Add one estimate and update the answer."""
    past = memory.past
    ethnicity = estimates.ethnicity_probs
    moment = _Moment(
        start_s=time_s,
        fresh=_worth(abs(time_s - memory.last_s) if past else EVERY_S),
        weight=weight,
        age=float(estimates.age_years[row]),
        spread=max(float(estimates.age_spread_years[row]), LEAST_SPREAD_YEARS),
        log_odds=_clipped_log_odds(float(estimates.female_prob[row])),
        ethnicity=None if ethnicity is None else ethnicity[row].copy(),
    )
    if past and 0 <= time_s - past[-1].start_s < STEP_S - SLACK_S:
        moment = _joined(past.pop(), moment)
    past.append(moment)
    while not 0 <= time_s - past[0].start_s <= MEMORY_S:
        past.popleft()
    memory.first_s, memory.last_s = min(memory.first_s, time_s), time_s
    memory.answer = _answer(memory)


def _joined(first: _Moment, second: _Moment) -> _Moment:
    """The weighted mean of two moments, with the worth of both."""
    worths = first.fresh * first.weight, second.fresh * second.weight
    part = worths[1] / sum(worths)
    age, spread, log_odds = (
        a + part * (b - a) for a, b in zip(first[3:6], second[3:6], strict=True)
    )
    ethnicity = first.ethnicity if second.ethnicity is None else second.ethnicity
    if first.ethnicity is not None and second.ethnicity is not None:
        ethnicity = first.ethnicity + np.float32(part) * (second.ethnicity - first.ethnicity)
    fresh = first.fresh + second.fresh
    return _Moment(first.start_s, fresh, sum(worths) / fresh, age, spread, log_odds, ethnicity)


def _answer(memory: _TrackMemory) -> Smoothed:
    """Return the answer from the memory and the previous answer."""
    before, past = memory.answer, memory.past
    fresh, weights, ages, spreads, log_odds = np.array([each[1:6] for each in past]).T
    worth = fresh * weights
    mean, kept = robust_mean(ages, SCATTER_SHARE * spreads, worth / spreads**2)
    looks, noise, systematic = _errors(ages - mean, spreads, weights * kept, fresh)
    evidence = _evidence(log_odds, worth)
    gender = _label(before.gender, evidence)
    agrees = abs(np.mean(ages[-RECENT:]) - mean) < CONFLICT * noise
    settled = memory.last_s - memory.first_s >= SETTLED_S
    decided = abs(evidence) >= LOG_ODDS_BAR and gender is _label(gender, evidence)
    known = decided or (settled and gender is Gender.UNSURE)
    return Smoothed(
        age_years=_on_leash(before.age_years, mean, looks),
        age_uncertainty_years=math.sqrt(systematic**2 + noise**2 / looks),
        female_prob=1 / (1 + math.exp(-evidence)),
        gender=gender,
        samples=before.samples + 1,
        converged=bool((looks >= ENOUGH_LOOKS or settled) and agrees and known),
        ethnicity_probs=_mean_ethnicity(past),
        evidence=float(worth.sum() / fresh.sum()),
    )


def _on_leash(told: float, mean: float, looks: float) -> float:
    """The age told so far, moved no further than the leash asks; a shorter one at first."""
    if math.isnan(told):
        return mean
    leash = LEASH_YEARS * min(looks / ENOUGH_LOOKS, 1)
    return min(max(told, mean - leash), mean + leash)


def _evidence(log_odds: Float64, worth: Float64) -> float:
    """The log-odds that the face is female, from those of its moments.

    Their mean is worth more than each of them, since it has less noise; but the face's own
    error stays in it, so that they cannot be added up.
    """
    looks = 1 + float(worth.sum())
    return (
        EVIDENCE_GAIN * float(np.average(log_odds, weights=worth)) * looks / (looks + PRIOR_LOOKS)
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
    looks = float(mean_weight * (1 + fresh.sum() - _worth(EVERY_S)))  # the first one is worth 1
    return looks, noise, SYSTEMATIC_SHARE * spread


def _worth(gap_s: float) -> float:
    """How many independent estimates one is that is made so long after the last."""
    return math.tanh(gap_s / (2 * CORRELATION_S))


def _label(before: Gender, log_odds: float) -> Gender:
    """The label that passes its bar, else the previous one."""
    if abs(log_odds) < LOG_ODDS_BAR:
        return before
    return Gender.FEMALE if log_odds > 0 else Gender.MALE


def _mean_ethnicity(past: Collection[_Moment]) -> Float32 | None:
    """Weighted mean of the probabilities that the estimates have."""
    known = [each for each in past if each.ethnicity is not None]
    if not known:
        return None
    weights = [each.fresh * each.weight for each in known]
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
