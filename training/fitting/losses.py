"""What an error costs, in `keras.ops`: the same on TensorFlow, JAX and PyTorch.

Everything that is known of a row comes as one array of targets, made by `targets`: its
first column is the row's weight, 0 where the label is unknown. A loss gives one number a
row; Keras averages them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from estimators.age import class_years
from structures import AGE_BINS
from training.fitting.settings import Settings

_TINY = 1e-7
AGE_COLUMNS = 4  # before the distributions: weight, whether it is a range, youngest, oldest


def losses(settings: Settings, taught: bool) -> tuple[dict[str, Any], dict[str, float]]:
    """The losses of a network's outputs, and how much each counts.

    Args:
        settings: of the run.
        taught: whether the targets hold a teacher's answers.
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
    return functions, weights


def class_loss(share: float) -> Any:
    """Cross-entropy with the label, and with the teacher for a `share` of the loss.

    Returns:
        A loss of targets `(B, 1 + 2 K)`: weight, label, teacher's probabilities; and of
        `(B, K)` probabilities. Reference: Hinton, Vinyals, Dean, "Distilling the Knowledge
        in a Neural Network", 2015, section 2, at temperature 1.
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


def age_loss(settings: Settings, share: float) -> Any:
    """The loss of an age that is told as a distribution over years or classes.

    An exact age: cross-entropy with the target, which is a Gaussian around the age or one
    class. A range: minus the logarithm of the probability of its years; a class that it
    covers in part counts in part. Both: the distance of the expected age from the age or
    range, and for mean_variance half its square and the variance.

    Returns:
        A loss of targets `(B, 4 + 2 K)`: weight, 1 for a range, youngest, oldest age, then
        the target or what the range covers of each class, then the teacher's
        probabilities; and of `(B, K)` probabilities.

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
    """The loss of an age that is told as years: decades outside the range, and a teacher's pull.

    Returns:
        A loss of targets `(B, 5)`: weight, 1 for a range, youngest and oldest age, the
        teacher's age in years; and of ages `(B, 1)` in years.
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
    """Mean years of each class, (K,) float32; of 101 classes the years themselves."""
    years = np.arange(AGE_BINS, dtype=np.float32)
    return years if count == AGE_BINS else class_years(count) @ years
