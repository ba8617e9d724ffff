"""From a model's age output to years: expected value and spread."""

import numpy as np
from numpy.typing import NDArray

from structures import AGE_BINS, Float32

# Youngest and oldest age, whole years, of each class, by the number of classes of the network:
# seven common ones, Adience's eight (with gaps), twelve finer ones.
AGE_CLASSES: dict[int, tuple[tuple[int, int], ...]] = {
    7: ((0, 9), (10, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 100)),
    8: ((0, 2), (4, 6), (8, 13), (15, 20), (25, 32), (38, 43), (48, 53), (60, 100)),
    12: (
        *((0, 3), (4, 6), (7, 12), (13, 18), (19, 25), (26, 32)),
        *((33, 38), (39, 45), (46, 51), (52, 60), (61, 70), (71, 100)),
    ),
}
# A factor for all ages, or (told age, factor) by rising age, linear between and flat beyond.
SpreadScale = float | tuple[tuple[float, float], ...]
AGE_WIDTHS = (1, *AGE_CLASSES, AGE_BINS)  # of the supported age outputs


def class_years(classes: int) -> Float32:
    """Each class as a distribution over years, uniform within it: (K, 101) float32."""
    years = np.zeros((classes, AGE_BINS), np.float32)
    for row, (youngest, oldest) in zip(years, AGE_CLASSES[classes], strict=True):
        row[youngest : oldest + 1] = 1 / (oldest + 1 - youngest)
    return years


def scale_at(spread_scale: SpreadScale, years: Float32) -> Float32:
    """The factor at each told age, (B,) float32."""
    pairs = spread_scale if isinstance(spread_scale, tuple) else ((0.0, spread_scale),)
    return np.interp(years, *np.array(pairs, np.float64).T).astype(np.float32)


def decode_age(output: NDArray[np.floating], spread_scale: SpreadScale) -> tuple[Float32, Float32]:
    """Turn an age head's output into an expected age and its spread.

    A head of 101 classes is a distribution over whole years: the expected age is the sum of
    i * p_i, the spread its standard deviation times `spread_scale`. A head of age classes is
    such a distribution, too, uniform within each class, so that its expected age is that of
    the classes' middles. A head of one value is the age itself, clipped to 0..100, and its
    spread is `spread_scale` years.

    Args:
        output: (B, 101) or (B, K) probabilities, K in `AGE_CLASSES`, or (B, 1) years,
            float; B may be 0.
        spread_scale: calibration by told age, measured on faces that the network never learnt
            from: a factor for a distribution, years for a single value. A network is not
            equally overconfident at all ages, and its faces of 60 and more are seen too young.

    Returns:
        age_years (B,) float32 and age_spread_years (B,) float32.

    Raises:
        ValueError: any other width.

    Reference:
        Rothe, Timofte, Van Gool, "Deep expectation of real and apparent age from a
        single image without facial landmarks", IJCV 2018, eq. 1.
    """
    if output.ndim != 2 or output.shape[1] not in AGE_WIDTHS:
        widths = ", ".join(str(width) for width in AGE_WIDTHS)
        raise ValueError(f"age output: want (B, K) with K in {widths}, got {output.shape}")
    values = output.astype(np.float32, copy=False)
    if values.shape[1] == 1:
        years = values[:, 0].clip(0, AGE_BINS - 1)
        return years, scale_at(spread_scale, years)
    if values.shape[1] in AGE_CLASSES:
        values = values @ class_years(values.shape[1])
    bins = np.arange(AGE_BINS, dtype=np.float32)
    years = values @ bins
    variance = values @ bins**2 - years**2
    return years, np.sqrt(np.maximum(variance, 0)) * scale_at(spread_scale, years)
