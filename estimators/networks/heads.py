"""A network's outputs: its heads, built on a backbone's features."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from estimators.age import AGE_CLASSES
from structures import AGE_BINS, ETHNICITIES

# How age is reported -> width of the output: a distribution over years, classes, or years.
AGE_HEADS = {"expectation": AGE_BINS, "ssr": 1, **{f"classes{k}": k for k in AGE_CLASSES}}
OUTPUTS = ("age", "gender", "race")
_BLUR = "age_blur"
# A normalisation of the features, which learns with the heads: a backbone may come without.
FEATURES_NORM = "features_norm"
# Of soft stagewise regression, see `ssrnet`: bins of each stage, and their range.
BINS = (3, 3, 3)
AGE_RANGE_YEARS = 101.0
MAX_WIDTH_CHANGE = 0.5


@dataclass(frozen=True, slots=True)
class Heads:
    """Which heads a network has; gender is always one of them.

    Attributes:
        age: one of `AGE_HEADS`.
        ethnicity: whether it has a head `race`.
        hidden: units of a dense layer of each head before its last one, 0 = none.
        dropout: share of the features dropped in training, of the hidden units as well.
        age_blur: of "expectation": standard deviation in years of the Gaussian that blurs the
            distribution. Where ages are learnt from ranges, nothing else keeps it from
            piling up at their ends.
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
    """Build the heads on features, a `(B, D)` Keras tensor; return output -> Keras tensor.

    They are `age` (B, 101) or (B, K) probabilities or (B, 1) years, `gender` (B, 2) =
    (male, female), `race` (B, 5) = `structures.ETHNICITIES`, in float32 whatever the layers
    before compute in. The names of all their layers begin with that of the output, by which
    `is_head` knows them.
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
    """Whether the layer belongs to a head, not to the backbone."""
    return layer_name.startswith(OUTPUTS)


def is_constant(layer_name: str) -> bool:
    """Whether the layer has weights that are never trained."""
    return layer_name in (_BLUR, "standardise")


def make_dropout(share: float, name: str) -> Any:
    """Return a layer that drops a share of its input in training.

    It has its own seed, from the generator that `keras.utils.set_random_seed` sets: without one
    PyTorch's global noise would be used, which no checkpoint holds.
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

    stages = [
        regression_stage(x, bins, f"age{k}", "float32") for k, bins in enumerate(BINS, start=1)
    ]
    value = soft_stagewise_regression(stages)
    return layers.Rescaling(AGE_RANGE_YEARS, name="age", dtype="float32")(value)


def regression_stage(
    x: Any, bins: int, name: str, dtype: str | None = None
) -> tuple[Any, Any, Any]:
    """One stage's p `(B, bins)`, eta `(B, bins)`, delta `(B, 1)` from features `(B, D)`."""
    from keras import layers

    p = layers.Dense(bins, activation="softmax", name=f"{name}_p", dtype=dtype)(x)
    eta = layers.Dense(bins, activation="tanh", name=f"{name}_eta", dtype=dtype)(x)
    delta = layers.Dense(1, activation="tanh", name=f"{name}_delta", dtype=dtype)(x)
    scaled = layers.Rescaling(MAX_WIDTH_CHANGE, name=f"{name}_delta_scaled", dtype=dtype)(delta)
    return p, eta, scaled


def soft_stagewise_regression(stages: Sequence[tuple[Any, Any, Any]]) -> Any:
    """Sum the stages' expectations, each on bins that divide the one before it: `(B, 1)`.

    The value is sum_k sum_i p_i (i + eta_i) / prod_{j <= k} s_j (1 + delta_j) with bins
    i = 0..s-1, in units of the range V: 0 is its lower end, 1 its upper end. A stage is (p, eta,
    delta), coarsest first: probabilities `(B, s)` that sum to 1, index shifts `(B, s)` in bins,
    -1..1, and the width scale `(B, 1)`.
    """
    value, divisor = None, None
    for p, eta, delta in stages:
        bins = p.shape[-1]
        step = (delta + 1.0) * float(bins)
        divisor = step if divisor is None else divisor * step
        # Bin by bin: the ONNX export would turn a constant tensor 0..s-1 into an input.
        terms = [p[:, i : i + 1] * (eta[:, i : i + 1] + float(i)) for i in range(bins)]
        term = sum(terms[1:], terms[0]) / divisor
        value = term if value is None else value + term
    return value
