"""SSR-Net: soft stagewise regression of age, and of gender, on 64 x 64 face chips.

Two small streams process the chip (ReLU with average pooling, tanh with maximum pooling). At
three depths they are multiplied and refine the answer: stage 1 picks one of three thirds of
the range, stage 2 a third of that third, stage 3 again.

Reference: Yang, Huang, Lin, Hsiu, Chuang (IJCAI 2018), "SSR-Net: A Compact Soft Stagewise
Regression Network for Age Estimation", section 3.

Differs: the bin probabilities are a softmax; the bin-width scale delta stays within
-0.5..0.5 so that a width never comes near zero; one extractor serves age and gender.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from keras import layers

from estimators.networks.backbones import start_from
from estimators.networks.heads import (
    AGE_RANGE_YEARS,
    BINS,
    Heads,
    make_dropout,
    regression_stage,
    soft_stagewise_regression,
)

INPUT_SIZE = 64

# Arguments of `build` for the weights that come with the program: 151 k parameters instead of
# 44 k. The width is added where the maps are small, so a chip costs only 1.6 times as much.
WIDE: dict[str, Any] = {"filters": (32, 48, 64, 96), "fusion_filters": 16, "hidden": 16}

# A gender score of 0..1 becomes log-odds of about -5..5: wide enough to be sure.
_GENDER_SLOPE = 10.0
# Side of the pooling window that brings each stage's map to 4 x 4 or 3 x 3, deepest first.
_STAGE_POOLS = (1, 4, 8)


def build(
    heads: Heads | None = None,
    backbone_weights: str | None = None,
    filters: Sequence[int] = (32, 32, 32, 32),
    fusion_filters: int = 10,
    hidden: int = 6,
    dropout: float = 0.2,
) -> keras.Model:
    """Build an untrained SSR-Net for age and gender; the defaults are the published widths.

    Input "rgb" is `(B, 64, 64, 3)` float, RGB, 0..255; scaling is the model's first layer.
    The output is a dict: "age" `(B, 1)` float32 in years, not clipped, so that it may be a
    little below 0, and "gender" `(B, 2)` float32, probabilities of (male, female).

    The gender block regresses a score with range V = 1 as published (0 male, 1 female).
    It may leave 0..1, so it is no probability; we read it as log-odds, 10 * (score - 0.5),
    and take the sigmoid, which is monotonic in the score and keeps its gradient.

    Args:
        heads: None; or its fixed outputs, of which `dropout` is used.
        backbone_weights: A .keras file of the same widths to take the streams from.
        filters: Channels of the four convolutions of stream 1; stream 2 has half of them.
        fusion_filters: Channels of the 1 x 1 convolutions in front of each product.
        hidden: Units of the dense layer behind each product.
        dropout: Fraction of the fused features dropped in training.

    Raises:
        ValueError: `filters` has not four positive even entries, or other heads are requested.
        WeightsError: `backbone_weights` cannot be loaded; ImageNet has none.
    """
    if heads and (heads.age, heads.ethnicity, heads.hidden) != ("ssr", False, 0):
        raise ValueError(f"SSR-Net has age by ssr and gender only, got {heads}")
    dropout = heads.dropout if heads else dropout
    if len(filters) != 4 or any(f < 2 or f % 2 for f in filters):
        raise ValueError(f"want four positive even filters, got {tuple(filters)!r}")
    rgb = keras.Input((INPUT_SIZE, INPUT_SIZE, 3), name="rgb")
    scaled = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(rgb)
    relu = _stream(scaled, filters, "relu", layers.AveragePooling2D, "stream1")
    tanh = _stream(scaled, [f // 2 for f in filters], "tanh", layers.MaxPooling2D, "stream2")

    outputs = {}
    for head in ("age", "gender"):
        stages = [
            _stage(a, b, pool, bins, fusion_filters, hidden, dropout, f"{head}{k + 1}")
            for k, (a, b, pool, bins) in enumerate(zip(relu, tanh, _STAGE_POOLS, BINS, strict=True))
        ]
        outputs[head] = soft_stagewise_regression(stages)
    age = layers.Rescaling(AGE_RANGE_YEARS, name="age")(outputs["age"])
    odds = layers.Rescaling(_GENDER_SLOPE, -_GENDER_SLOPE / 2, name="gender_log_odds")(
        outputs["gender"]
    )
    female = layers.Activation("sigmoid", name="female_prob")(odds)
    male = layers.Rescaling(-1.0, offset=1.0, name="male_prob")(female)
    gender = layers.Concatenate(name="gender")([male, female])
    model = keras.Model(rgb, {"age": age, "gender": gender}, name="ssrnet")
    if backbone_weights:
        start_from(model, Path(backbone_weights))
    return model


def _stream(
    x: Any, filters: Sequence[int], activation: str, pooling: type[layers.Layer], name: str
) -> list[Any]:
    """Run one stream; return the three maps that the stages use, deepest first."""
    maps = []
    for depth, width in enumerate(filters, start=1):
        x = layers.Conv2D(width, 3, name=f"{name}_conv{depth}")(x)
        x = layers.BatchNormalization(momentum=0.97, name=f"{name}_bn{depth}")(x)
        x = layers.Activation(activation, name=f"{name}_{activation}{depth}")(x)
        if depth < len(filters):
            x = pooling(2, name=f"{name}_pool{depth}")(x)
        maps.append(x)
    # Sides 31, 14, 6, 4: the third only feeds the fourth.
    return [maps[3], maps[1], maps[0]]


def _stage(
    a: Any, b: Any, pool: int, bins: int, fusion: int, hidden: int, dropout: float, name: str
) -> tuple[Any, Any, Any]:
    """Fuse the streams at one depth: p `(B, bins)`, eta `(B, bins)`, delta `(B, 1)`."""
    a = layers.Conv2D(fusion, 1, activation="relu", name=f"{name}_fuse1")(a)
    b = layers.Conv2D(fusion, 1, activation="tanh", name=f"{name}_fuse2")(b)
    if pool > 1:
        a = layers.AveragePooling2D(pool, name=f"{name}_pool1")(a)
        b = layers.MaxPooling2D(pool, name=f"{name}_pool2")(b)
    x = layers.Multiply(name=f"{name}_product")([a, b])
    x = layers.Flatten(name=f"{name}_flat")(x)
    x = make_dropout(dropout, f"{name}_dropout")(x)
    x = layers.Dense(hidden, activation="relu", name=f"{name}_hidden")(x)
    return regression_stage(x, bins, name)
