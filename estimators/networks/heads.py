"""What a network answers: its heads, and how they grow on a backbone's features."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np

from estimators.age import AGE_CLASSES
from structures import AGE_BINS, ETHNICITIES

# How age is told -> width of the output: a distribution over years, classes, or years.
AGE_HEADS = {"expectation": AGE_BINS, "ssr": 1, **{f"classes{k}": k for k in AGE_CLASSES}}
OUTPUTS = ("age", "gender", "race")
_BLUR = "age_blur"


@dataclass(frozen=True, slots=True)
class Heads:
    """Which heads a network has; gender is always one of them.

    Attributes:
        age: one of `AGE_HEADS`.
        ethnicity: whether there is a head `race`.
        hidden: units of a dense layer of each head before its last one, 0 = none.
        dropout: share of the features dropped in training, of the hidden units as well.
        age_blur: of "expectation": standard deviation in years of the Gaussian that the
            distribution is blurred by. Where ages are learnt from ranges, nothing else
            keeps it from heaping up at their ends.
    """

    age: str = "expectation"
    ethnicity: bool = True
    hidden: int = 0
    dropout: float = 0.0
    age_blur: float = 0.0

    def __post_init__(self) -> None:
        if self.age not in AGE_HEADS:
            raise ValueError(f"age head must be one of {', '.join(AGE_HEADS)}, got {self.age!r}")
        if self.hidden < 0 or not 0 <= self.dropout < 1:
            raise ValueError(f"want hidden >= 0 and dropout in 0..1, got {self}")
        if self.age_blur < 0 or (self.age_blur and self.age != "expectation"):
            raise ValueError(f"want age_blur >= 0, and 0 but for expectation, got {self}")

    def widths(self) -> dict[str, int]:
        """Name of each output -> its width."""
        race = {"race": len(ETHNICITIES)} if self.ethnicity else {}
        return {"age": AGE_HEADS[self.age], "gender": 2, **race}


def add_heads(features: Any, heads: Heads) -> dict[str, Any]:
    """Put the heads on features.

    They compute in float32 whatever the layers before do. The names of all their layers
    begin with that of the output, by which `is_head` tells them from the backbone.

    Args:
        features: `(B, D)` Keras tensor.
        heads: which.

    Returns:
        Output -> Keras tensor: `age` (B, 101) or (B, K) probabilities or (B, 1) years,
        `gender` (B, 2) = (male, female), `race` (B, 5) = `structures.ETHNICITIES`.
    """
    from keras import layers

    outputs = {}
    for name, width in heads.widths().items():
        x = _before_last(features, heads, name)
        if name == "age" and heads.age == "ssr":
            outputs[name] = _stagewise(x)
            continue
        logits = layers.Dense(width, name=f"{name}_logits", dtype="float32")(x)
        outputs[name] = layers.Softmax(name=name, dtype="float32")(logits)
        if name == "age" and heads.age_blur:
            outputs[name] = _blurred(outputs[name], heads.age_blur)
    return outputs


def is_head(layer_name: str) -> bool:
    """Whether a layer of that name belongs to a head, not to the backbone."""
    return layer_name.startswith(OUTPUTS)


def is_constant(layer_name: str) -> bool:
    """Whether a layer of that name has weights that never learn."""
    return layer_name == _BLUR


def make_dropout(share: float, name: str) -> Any:
    """A layer that drops a share of its input in training.

    It has a seed of its own, from the generator that `keras.utils.set_random_seed` sets:
    without one PyTorch's global noise would be used, which no checkpoint holds.
    """
    from keras import layers

    return layers.Dropout(share, seed=random.randrange(2**31), name=name)


def _blurred(probs: Any, sd_years: float) -> Any:
    """Age probabilities `(B, 101)` blurred along the years; they still add up to 1."""
    from keras import layers

    years = np.arange(AGE_BINS)
    kernel = np.exp(-0.5 * ((years[:, None] - years) / sd_years) ** 2)
    blur = layers.Dense(AGE_BINS, use_bias=False, trainable=False, name=_BLUR, dtype="float32")
    blurred = blur(probs)
    blur.set_weights([kernel / kernel.sum(axis=1, keepdims=True)])
    return blurred


def _before_last(x: Any, heads: Heads, name: str) -> Any:
    from keras import layers

    if heads.hidden:
        x = layers.Dense(heads.hidden, activation="relu", name=f"{name}_hidden")(x)
    if heads.dropout:
        x = make_dropout(heads.dropout, f"{name}_dropout")(x)
    return x


def _stagewise(x: Any) -> Any:
    """Age `(B, 1)` in years by soft stagewise regression straight from features."""
    from keras import layers

    from estimators.networks.ssrnet import (
        AGE_RANGE_YEARS,
        BINS,
        MAX_WIDTH_CHANGE,
        soft_stagewise_regression,
    )

    stages = []
    for k, bins in enumerate(BINS, start=1):
        p = layers.Dense(bins, "softmax", name=f"age{k}_p", dtype="float32")(x)
        eta = layers.Dense(bins, "tanh", name=f"age{k}_eta", dtype="float32")(x)
        delta = layers.Dense(1, "tanh", name=f"age{k}_delta", dtype="float32")(x)
        scaled = layers.Rescaling(MAX_WIDTH_CHANGE, name=f"age{k}_delta_scaled", dtype="float32")(
            delta
        )
        stages.append((p, eta, scaled))
    value = soft_stagewise_regression(stages)
    return layers.Rescaling(AGE_RANGE_YEARS, name="age", dtype="float32")(value)
