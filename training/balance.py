"""Make a model's age output fairer to rare ages, without training it again.

    python -m training.balance weights/NAME.keras --data DIR --sets fairface

A network trained where most people are young estimates those over 50 too young. Dividing its
age probabilities by a power of the prior it has learned undoes that, by one change of the age
layer's bias:

    logit_i  <-  logit_i - strength * log prior_i

The prior is the mean of the model's own age probabilities over the *train* rows, smoothed; the
strength is the one with the least error averaged over age bands on these rows. Test rows are not
used. The file is replaced; make its .onnx file again with `python -m estimators.export`.

Reference:
    Menon, Jayasumana, Rawat, Jain, Veit, Kumar, "Long-tail learning via logit
    adjustment", ICLR 2021, section 4.1. Differs: a power of the prior, chosen by
    validation, because future faces are balanced no better than the train rows.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from errors import DatasetError, WeightsError
from estimators.networks.backbones import load_keras
from files import replacing
from program.options import OneLineParser
from structures import AGE_BINS
from training.chips import Chips, join, load_chips, years_outside
from training.fitting.held_out import predict
from training.records import write_derived
from training.tools import run_tool

STRENGTHS = np.round(np.arange(0, 1.01, 0.1), 1)
BAND_STARTS = np.arange(10, 71, 10)  # 0-9, 10-19, ... 70 and over
_LAYER = "age_logits"
_PRIOR_SMOOTHING_YEARS = 2.0

Float64 = NDArray[np.float64]


def prior_of(probs: Float64) -> Float64:
    """Return the smoothed mean, (101,), of (N, 101) age probabilities; adds up to 1."""
    prior = gaussian_filter1d(probs.mean(axis=0), _PRIOR_SMOOTHING_YEARS, mode="nearest")
    return np.asarray(prior / prior.sum(), np.float64)


def rebalanced(probs: Float64, prior: Float64, strength: float) -> Float64:
    """Divide (N, 101) probabilities by `prior ** strength`, and normalise them again."""
    odds = probs / prior**strength
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float64)


def banded_error_years(probs: Float64, low: Float64, high: Float64) -> float:
    """Return the years that expected ages lie outside their ranges, averaged over age bands.

    `probs` is (N, 101); `low` and `high`, (N,), are the labels' youngest and oldest age, years.
    """
    error = years_outside(probs @ np.arange(AGE_BINS), low, high)
    band = np.digitize((low + high) / 2, BAND_STARTS)
    return float(np.mean([error[band == b].mean() for b in np.unique(band)]))


def best_strength(probs: Float64, low: Float64, high: Float64) -> tuple[float, list[float]]:
    """Return the strength of least banded error, and the error of each of `STRENGTHS`."""
    prior = prior_of(probs)
    errors = [banded_error_years(rebalanced(probs, prior, s), low, high) for s in STRENGTHS]
    return float(STRENGTHS[int(np.argmin(errors))]), errors


def balance(path: Path, chips: Chips) -> list[float]:
    """Change the age layer of a model file in place; return the error of each of `STRENGTHS`.

    Raises:
        WeightsError: no such file, or not a Keras model with a layer `age_logits` of 101 classes.
        DatasetError: no age of the chips is known.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    model = load_keras(path)
    try:
        kernel, bias = model.get_layer(_LAYER).get_weights()
    except ValueError as error:
        raise WeightsError(f"{path} is no Keras model with a layer {_LAYER}") from error
    if bias.shape != (AGE_BINS,):
        raise WeightsError(f"{path} answers {len(bias)} age classes; want {AGE_BINS}, whole years")
    known = np.flatnonzero(np.isfinite(chips.age_low))
    if not len(known):
        raise DatasetError("no face of these sets has a known age; choose other --sets")
    chips = chips.take(known)
    probs = predict(model, chips.images)["age"].astype(np.float64)
    strength, errors = best_strength(
        probs, chips.age_low.astype(np.float64), chips.age_high.astype(np.float64)
    )
    model.get_layer(_LAYER).set_weights([kernel, bias - strength * np.log(prior_of(probs))])
    with replacing(path) as partial:
        model.save(partial)
    return errors


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = OneLineParser(
        prog="python -m training.balance", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("file", type=Path, metavar="FILE.keras")
    parser.add_argument("--data", type=Path, required=True, help="folder of the chip sets")
    parser.add_argument("--sets", nargs="+", default=["fairface"])
    options = parser.parse_args(arguments)

    def work() -> None:
        chips = join([load_chips(options.data, name, "train") for name in options.sets])
        errors = balance(options.file, chips)
        write_derived(options.file, [options.file], options.sets)
        for strength, years in zip(STRENGTHS, errors, strict=True):
            chosen = "  <- chosen" if years == min(errors) else ""
            print(f"strength {strength:.1f}: {years:.3f} years, mean of the age bands{chosen}")

    return run_tool("balance", work)


if __name__ == "__main__":
    sys.exit(main())
