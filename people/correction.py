"""Counts of groups put right by what is known of a network's errors, with an interval.

A network that takes every tenth woman for a man reports too few women where there are many,
and too many where there are few. How often it tells which group of people of each group, its
*confusion*, stands in weights/manifest.json (`python -m training.confusion` counts it on faces
that the network never learnt from). Of n people counted, with the counts told, the true ones are
drawn from their distribution given the told ones (a Gibbs sampler: Markov chains that
take turns):

    confusion of group k     ~  Dirichlet(faces of k by told group + 1 in all)   once a chain
    true groups of people told j  ~  multinomial(shares_k * confusion_kj)
    shares                   ~  Dirichlet(people by true group + 1/2 each)

The spread of the draws holds both what chance does to n people and what the confusion leaves
open. It does not hold how other faces differ from those that the confusion was counted on.

Groups are gender by `BANDS`, women first: `GROUPS`. Somebody unsure counts for the likelier
gender, in the confusion as in use: how often people are "unsure" depends on the number of looks
and on what is asked of a label, which way they lean hardly does.

Reference:
    Swartz, Haitovsky, Vexler, Yang, "Bayesian identifiability and misclassification in
    multinomial data", Canadian Journal of Statistics 32, 2004. Differs: the confusion is not
    learnt from the counts; of the true groups the people counted are reported, not
    shares of a population they may come from.
    Saerens, Latinne, Decaestecker, "Adjusting the outputs of a classifier to new a priori
    probabilities", Neural Computation 14, 2002: the same model's likeliest shares, by EM.
"""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimators.weights import Confusion
from people.bands import RECORD_BANDS, WIDENED
from structures import ATTRIBUTES, Gender

GROUPS = tuple((g, b) for g in (Gender.FEMALE, Gender.MALE) for b in RECORD_BANDS.names)
_PLACES = {group: i for i, group in enumerate(GROUPS)}

_REST_S = 10.0
_CHAINS, _WARM_UP, _KEPT = 64, 30, 20  # 1,280 draws
_HELD = 0.025, 0.975  # quantiles: the interval holds 95 %


@dataclass(frozen=True, slots=True)
class Corrected:
    """How many people of a group there were, and between which numbers with 95 %."""

    people: int
    low: int
    high: int

    def __str__(self) -> str:
        """As for people: "312 ± 21"."""
        return f"{self.people} ± {max(self.high - self.people, self.people - self.low)}"


Counts = dict[tuple[str, str], Corrected]  # by gender and band, "" = all of either


class Correction:
    """Corrects the counts of a run for its outputs, seldom enough to cost nothing.

    Numbers that have changed are corrected anew after ten seconds, or after `refresh`.

    Args:
        confusion: of the network; None = nothing is corrected.
        attributes: counts by gender or by age band are made only where it is one of these.
        clock: seconds, monotonic.

    Attributes:
        confusion: None also where nothing is to be corrected.
    """

    def __init__(
        self,
        confusion: Confusion | None,
        attributes: Collection[str] = ATTRIBUTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.confusion = confusion if {"age", "gender"} & set(attributes) else None
        self._without = {i for i, name in enumerate(("gender", "age")) if name not in attributes}
        self._clock = clock
        self._known: dict[str, tuple[float, Counts]] = {}

    def refresh(self) -> None:
        """Have the next call of `of` answer for its own numbers; records are due."""
        self._known = {}

    def of(self, scope: str, told: Sequence[int]) -> Counts | None:
        """Correct people told to be of each of `GROUPS`; `scope` says which people they are."""
        if self.confusion is None:
            return None
        now_s = self._clock()
        made_s, counts = self._known.get(scope, (-math.inf, {}))
        if now_s - made_s >= _REST_S:
            every = corrected(told, self.confusion)
            wanted = [key for key in every if not any(key[i] for i in self._without)]
            counts = {key: every[key] for key in wanted}
            self._known = self._known | {scope: (now_s, counts)}
        return counts


def as_json(counts: Counts | None) -> list[dict[str, Any]] | None:
    """As in records, and for the page."""
    if counts is None:
        return None
    return [
        named({"age": band, "gender": gender, **asdict(count)})
        for (gender, band), count in counts.items()
    ]


def named(group: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a group what was not asked for, or is summed over."""
    return {name: value for name, value in group.items() if value != ""}


def group_of(female: bool, age_years: float) -> int:
    """The place in `GROUPS`; the age must be finite."""
    gender = Gender.FEMALE if female else Gender.MALE
    return _PLACES[gender, RECORD_BANDS.of(age_years)]


def told_counts(people: Mapping[Any, int]) -> tuple[int, ...]:
    """Sum people by `people.crowd.Key` up to `GROUPS`, those without an estimate left out."""
    counts = [0] * len(GROUPS)
    for key, number in people.items():
        if key.band in WIDENED:
            gender = Gender.FEMALE if key.female else Gender.MALE
            counts[_PLACES[gender, WIDENED[key.band]]] += number
    return tuple(counts)


def corrected(told: Sequence[int], confusion: Confusion) -> Counts:
    """Correct the counts of people told to be of each of `GROUPS`.

    The same numbers give the same answer.

    Returns:
        (gender, band) -> count, for all `GROUPS`, and with "" for one of the two summed over it.
    """
    return _corrected(tuple(told), confusion)


@lru_cache(64)
def _corrected(told: tuple[int, ...], confusion: Confusion) -> Counts:
    draws = _draws(np.array(told, np.int64), np.array(confusion, np.float64))
    wanted = [(g, b) for g in ("", Gender.FEMALE, Gender.MALE) for b in ("", *RECORD_BANDS.names)]
    found = {}
    for gender, band in wanted[1:]:
        within = [gender in ("", g) and band in ("", b) for g, b in GROUPS]
        of_group = draws[:, within].sum(axis=1)
        low, high = np.quantile(of_group, _HELD, method="inverted_cdf")
        found[str(gender), band] = Corrected(round(of_group.mean()), int(low), int(high))
    return found


def _draws(told: NDArray[np.int64], faces: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (D, K) draws of true counts, given (K,) told ones and the (K, K) confusion."""
    rng, groups = np.random.default_rng(0), len(told)
    chances = _dirichlet(rng, np.broadcast_to(faces + 1 / groups, (_CHAINS, groups, groups)))
    shares = np.full((_CHAINS, groups), 1 / groups)
    told_groups = np.flatnonzero(told)  # the others say nothing
    of_told = np.moveaxis(chances, 1, 2)[:, told_groups]  # (C, J, K)
    kept = []
    for step in range(_WARM_UP + _KEPT):
        weights = of_told * shares[:, None]
        weights /= weights.sum(axis=2, keepdims=True)
        true = rng.multinomial(told[told_groups], weights).sum(axis=1)  # (C, K)
        if step >= _WARM_UP:
            kept.append(true)
        shares = _dirichlet(rng, true + 0.5)
    return np.concatenate(kept)


def _dirichlet(rng: np.random.Generator, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw from Dirichlet distributions over the last axis."""
    gammas = np.maximum(rng.standard_gamma(counts), 1e-300)  # tiny counts may give 0
    return np.asarray(gammas / gammas.sum(axis=-1, keepdims=True))
