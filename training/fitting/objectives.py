"""Training targets made from labels, and the losses that compare with them.

A row's targets are one array per output; the first column is the row's weight, 0 where the label
is unknown. Losses are written in `keras.ops`: the same on TensorFlow, JAX and PyTorch. A loss
returns one number per row; Keras averages them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimators.age import AGE_CLASSES, class_years, decode_age
from estimators.networks.heads import AGE_HEADS
from structures import AGE_BINS, ETHNICITIES
from training.chips import Chips, nearest_class
from training.fitting.imitation import OUTPUT as VECTOR
from training.fitting.imitation import imitation_loss
from training.fitting.settings import TrainingSettings
from training.labels import OLDEST_YEARS

Floats = NDArray[np.float32]
Answers = Mapping[str, Floats]  # a teacher's outputs -> (N, K)

_HEAVIEST = 10.0  # a row of a rare class weighs at most as much as so many average ones
_YEARS = np.arange(AGE_BINS)


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of all rows; row i belongs to chip i.

    Attributes:
        arrays: output -> `(N, C)` float32; the first column is the row's weight.
        chances: `(N,)` float64, each row's probability of being drawn, adding up to 1; None =
            every row once per epoch.
        taught: whether the arrays hold a teacher's outputs.
    """

    arrays: dict[str, Floats]
    chances: NDArray[np.float64] | None
    taught: bool

    def of(self, rows: NDArray[np.int64]) -> dict[str, Floats]:
        """Return a batch's targets; each output's weights add up to the number of rows.

        So a batch with few known labels, or without rare people, counts as much as any other.
        """
        batch = {}
        for name, array in self.arrays.items():
            part = array[rows]
            total = part[:, 0].sum()
            if total > 0:
                part[:, 0] *= len(rows) / total
            batch[name] = part
        return batch


def make_targets(
    chips: Chips,
    settings: TrainingSettings,
    answers: Answers | None = None,
    vectors: Floats | None = None,
) -> Targets:
    """Build the targets of all chips.

    Args:
        chips: the labels; weights against imbalance count these rows.
        settings: of the run.
        answers: a teacher's outputs, in any form of age, or None.
        vectors: those to imitate, (N, W), or None.
    """
    female = np.where(np.isfinite(chips.female), chips.female, -1).astype(np.int64)
    gender, smoothing = answers["gender"] if answers else None, settings.gender_smoothing
    arrays = {
        "age": _age_array(chips, settings, answers),
        "gender": _classes(female, 2, settings.weigh_gender, smoothing, gender),
    }
    if settings.ethnicity:
        race, smoothing = _teachers_race(answers, len(chips)), settings.ethnicity_smoothing
        arrays["race"] = _classes(
            chips.race, len(ETHNICITIES), settings.weigh_ethnicity, smoothing, race
        )
    if vectors is not None:
        arrays[VECTOR] = np.hstack([np.ones((len(chips), 1), np.float32), vectors])
    chances = None
    if settings.draw_by_age:
        chances = balanced(np.maximum(_decades(chips), 0), settings.draw_by_age).astype(np.float64)
        chances /= chances.sum()
    return Targets(arrays, chances, answers is not None)


def _age_array(chips: Chips, settings: TrainingSettings, answers: Answers | None) -> Floats:
    """Return the targets of age (N, C) for `age_loss` or `age_value_loss`."""
    width = AGE_HEADS[settings.age]
    known = np.isfinite(chips.age_low)
    low, high = (
        np.where(known, years, 0.0).clip(0, AGE_BINS - 1).astype(np.float32)
        for years in (chips.age_low, chips.age_high)
    )
    classes = _decades(chips)
    if width in AGE_CLASSES:
        middles = ((low + high) / 2).astype(np.int64)
        classes = np.where(known, nearest_classes(width)[middles].argmax(1), -1)
    is_range = (high > low) & ~_is_open(low, high, settings)
    parts = [balanced(classes, settings.weigh_age), is_range.astype(np.float32), low, high]
    columns = [np.stack(parts, 1)]
    if width > 1:
        columns.append(age_targets(low, high, width, settings))
    if answers is not None:
        taught = convert_age(answers["age"], width)
        if width == 1:  # it may contradict the label by only a few years
            slack = np.where(known, settings.teacher_slack, np.inf)
            taught = taught.clip((low - slack)[:, None], (high + slack)[:, None])
        columns.append(taught.astype(np.float32))
    return np.hstack(columns)


def _decades(chips: Chips) -> NDArray[np.int64]:
    """Return each row's decade of age 0..7, -1 = unknown."""
    middle = np.where(np.isfinite(chips.age_low), (chips.age_low + chips.age_high) / 2, -10)
    return np.asarray(np.clip(np.floor(middle / 10), -1, 7), np.int64)


def balanced(classes: NDArray[np.int64], strength: float) -> Floats:
    """Return weights against imbalance, (N,): 0 for an unknown class, 1 on average elsewhere.

    `classes` are (N,), -1 = unknown; `strength` 0 weighs all rows alike, 1 all classes.
    """
    known = classes >= 0
    weights = known.astype(np.float64)
    if strength and known.any():
        counts = np.bincount(classes[known]).astype(np.float64)
        weights[known] = counts[classes[known]] ** -strength
        weights[known] /= weights[known].mean()
        weights = np.minimum(weights, _HEAVIEST)
    return weights.astype(np.float32)


def age_targets(low: Floats, high: Floats, width: int, settings: TrainingSettings) -> Floats:
    """Return the target distribution of exact ages, or what ranges cover of each class.

    Args:
        low: (N,) youngest age, years 0..100.
        high: (N,) oldest.
        width: classes, 101 or one of `AGE_CLASSES`.
        settings: of the run.

    Returns:
        (N, K) float32: rows of exact ages add up to 1, and with `open_years` those of ranges
        without an end; in rows of other ranges each entry is the share of the class' years
        that lie in the range.
    """
    whole_low, whole_high = np.floor(low)[:, None], np.floor(high)[:, None]
    if settings.age_loss == "label_distribution":
        exact = np.exp(-0.5 * ((_YEARS - low[:, None]) / settings.label_sd) ** 2)
        exact /= exact.sum(1, keepdims=True)
    else:
        exact = (whole_low == _YEARS).astype(np.float64)
    covered = ((whole_low <= _YEARS) & (whole_high >= _YEARS)).astype(np.float64)
    if width in AGE_CLASSES:
        nearest = nearest_classes(width)
        exact = exact @ nearest
        shares = covered @ (class_years(width).T > 0) * class_years(width).max(1)
        # A range between two classes, where there are gaps, belongs to the nearest one.
        covered = np.where(shares.sum(1, keepdims=True) > 0, shares, covered @ nearest > 0)
    target = np.where((high > low)[:, None], covered, exact)
    if (is_open := _is_open(low, high, settings)).any():
        target = np.where(is_open[:, None], _falling_off(low, width, settings), target)
    return target.astype(np.float32)


def _is_open(low: Floats, high: Floats, settings: TrainingSettings) -> NDArray[np.bool_]:
    """Return (N,) which ranges have no end and a distribution that falls off as their target."""
    if not settings.open_years or settings.age == "ssr":
        return np.zeros(len(low), np.bool_)
    return np.asarray((high >= OLDEST_YEARS) & (high > low))


def _falling_off(low: Floats, width: int, settings: TrainingSettings) -> NDArray[np.float64]:
    """Return (N, K) distributions that start at the ages `low` and fall off exponentially."""
    past = _YEARS - low[:, None]  # (N, 101)
    falling = np.where(past >= 0, np.exp(-np.maximum(past, 0) / settings.open_years), 0)
    falling /= falling.sum(1, keepdims=True)
    return falling @ nearest_classes(width) if width in AGE_CLASSES else falling


def nearest_classes(count: int) -> NDArray[np.float64]:
    """Return (101, K): 1 where the year belongs to the class, or is nearest to it."""
    return np.eye(count)[nearest_class(_YEARS, AGE_CLASSES[count])]


def convert_age(answer: Floats, width: int) -> Floats:
    """Convert a teacher's age (N, any width) to the width of the trained network."""
    if answer.shape[1] == width:
        return answer
    if width == 1:
        return decode_age(answer, 1.0)[0][:, None]
    if answer.shape[1] == 1:  # years: a Gaussian around them
        years = np.exp(-0.5 * ((_YEARS - answer) / 3.0) ** 2) + 1e-12
        years /= years.sum(1, keepdims=True)
    elif answer.shape[1] in AGE_CLASSES:
        years = answer @ class_years(answer.shape[1])
    else:
        years = answer
    if width in AGE_CLASSES:
        years = years @ nearest_classes(width)
    return np.asarray(years, np.float32)


def _classes(
    classes: NDArray[np.int64], count: int, strength: float, smoothing: float, taught: Floats | None
) -> Floats:
    """Return targets (N, 1 + K or 2 K): weight, smoothed label, teacher's probabilities."""
    label = np.eye(count)[np.maximum(classes, 0)] * (1 - smoothing) + smoothing / count
    columns = [balanced(classes, strength)[:, None], label.astype(np.float32)]
    if taught is not None:
        columns.append(taught)
    return np.hstack(columns)


def _teachers_race(answers: Answers | None, count: int) -> Floats | None:
    """Return the teacher's ethnicity; zeros, which teach nothing, if it has none."""
    if answers is None:
        return None
    return answers.get("race", np.zeros((count, len(ETHNICITIES)), np.float32))


_TINY = 1e-7
AGE_COLUMNS = 4  # before the distributions: weight, whether it is a range, youngest, oldest


def losses(settings: TrainingSettings, taught: bool) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the losses of a network's outputs, and their weights.

    `taught` says whether the targets hold a teacher's outputs.
    """
    share = settings.teacher_weight if taught else 0.0
    functions: dict[str, Any] = {
        "age": age_value_loss(share) if settings.age == "ssr" else age_loss(settings, share),
        "gender": class_loss(share),
    }
    weights = {"age": 1.0, "gender": settings.gender_weight}
    if settings.ethnicity:
        functions["race"] = class_loss(share)
        weights["race"] = settings.ethnicity_weight
    if settings.imitate:
        functions[VECTOR], weights[VECTOR] = imitation_loss(), settings.imitate_weight
    return functions, weights


def class_loss(share: float) -> Any:
    """Return cross-entropy with the label, and with the teacher for a `share` of the loss.

    It takes targets `(B, 1 + 2 K)`: weight, label, teacher's probabilities; and `(B, K)`
    probabilities. Reference: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural
    Network", 2015, section 2, at temperature 1.
    """
    from keras import ops

    def loss(wanted: Any, probs: Any) -> Any:
        count = probs.shape[-1]
        logs = ops.log(probs + _TINY)
        label = -wanted[:, 0] * ops.sum(wanted[:, 1 : 1 + count] * logs, -1)
        if not share:
            return label
        teacher = -ops.sum(wanted[:, 1 + count :] * logs, -1)
        return (1 - share) * label + share * teacher

    return loss


def age_loss(settings: TrainingSettings, share: float) -> Any:
    """Return the loss of an age that is a distribution over years or classes.

    An exact age: cross-entropy with the target, which is a Gaussian around the age or one
    class. A range: minus the logarithm of the probability of its years; a partly covered class
    counts in part. Both: the distance of the expected age from the age or range, and for
    mean_variance half its square and the variance.

    It takes targets `(B, 4 + 2 K)`: weight, 1 for a range, youngest, oldest age, then the
    target or what the range covers of each class, then the teacher's probabilities; and
    `(B, K)` probabilities.

    Reference:
        Gao, Xing, Xie, Wu, Geng, "Deep Label Distribution Learning with Label Ambiguity",
        TIP 2017; Pan, Han, Shan, Chen, "Mean-Variance Loss for Deep Age Estimation from a
        Face", CVPR 2018, eq. 2-6.
    """
    from keras import ops

    mean_variance = settings.age_loss == "mean_variance"

    def loss(wanted: Any, probs: Any) -> Any:
        count = probs.shape[-1]
        weight, is_range = wanted[:, 0], wanted[:, 1]
        target = wanted[:, AGE_COLUMNS : AGE_COLUMNS + count]
        logs = ops.log(probs + _TINY)
        exact = -ops.sum(target * logs, -1)
        within = -ops.log(ops.sum(target * probs, -1) + _TINY)
        label = (1 - is_range) * exact + is_range * settings.range_weight * within
        middles = ops.convert_to_tensor(class_middles(count))
        mean = ops.sum(probs * middles, -1)
        outside = ops.relu(wanted[:, 2] - mean) + ops.relu(mean - wanted[:, 3])
        if mean_variance:
            variance = ops.sum(probs * ops.square(middles), -1) - ops.square(mean)
            label = label + settings.mean_weight * 0.5 * ops.square(outside)
            label = label + settings.variance_weight * variance
        else:
            label = label + settings.distance_weight * outside
        label = weight * label
        if not share:
            return label
        teacher = -ops.sum(wanted[:, AGE_COLUMNS + count :] * logs, -1)
        return (1 - share) * label + share * teacher

    return loss


def age_value_loss(share: float) -> Any:
    """Return the loss of an age in years: decades outside the range, and a teacher's pull.

    It takes targets `(B, 5)`: weight, 1 for a range, youngest and oldest age, the teacher's
    age in years; and ages `(B, 1)` in years.
    """
    from keras import ops

    def loss(wanted: Any, years: Any) -> Any:
        age = years[:, 0]
        outside = ops.relu(wanted[:, 2] - age) + ops.relu(age - wanted[:, 3])
        label = wanted[:, 0] * outside / 10.0
        if not share:
            return label
        error = ops.abs(age - wanted[:, 4])
        # Quadratic within two years: closer than that the teacher is no better than we are.
        huber = ops.where(error < 2.0, 0.25 * error * error, error - 1.0)
        return 2 * ((1 - share) * label + share * huber / 10.0)

    return loss


def class_middles(count: int) -> np.ndarray:
    """Return the mean years of each class, (K,) float32; of 101 classes the years."""
    years = np.arange(AGE_BINS, dtype=np.float32)
    return years if count == AGE_BINS else class_years(count) @ years
