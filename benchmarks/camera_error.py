"""How well a camera's error of age is predicted from what the network says of its faces.

    python -m benchmarks.camera_error --data DIR
    python -m benchmarks.camera_error --data DIR --set utkface --split train --weights NAME

Each of 30 cameras sees the same people, worse: from afar, blurred, compressed, dark, noisy,
turned, shifted or half covered. The prediction is `people.expected_error.SHARE` of the mean
spread of one look at each face; the truth is the mean distance from the labelled age. The share
was fitted on train rows (the last line says which would fit best), and is shown on test rows.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from estimators import ARCHITECTURES, DEFAULT, make_estimator
from people.expected_error import SHARE
from program.options import OneLineParser
from structures import Image
from training.chips import Chips, from_afar, load_chips, shrink, years_outside
from training.judging.contenders import estimate_all
from training.tools import run_tool

Change = Callable[[Image], Image]
_SEED = 5


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; bad values exit with one line and code 2."""
    parser = OneLineParser(
        prog="python -m benchmarks.camera_error",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="folder that holds the set")
    add("--set", default="utkface", metavar="NAME", help="default: utkface")
    add("--split", default="test", help="default: test")
    add("--faces", type=int, default=1500, help="of the set (default: 1500)")
    add("--estimator", choices=ARCHITECTURES, default=DEFAULT, help=f"default: {DEFAULT}")
    add("--weights", metavar="NAME", help="default: those of the estimator")
    return parser.parse_args(arguments)


def cameras(rng: np.random.Generator) -> dict[str, Change]:
    """Name of each camera -> what it makes of chips (N, S, S, 3) uint8 RGB."""
    made: dict[str, Change] = {"as they are": lambda chips: chips}
    for pixels in (6, 8, 10, 12, 16, 20, 24, 32):
        made[f"eyes {pixels} px apart"] = _afar(pixels)
    for sd in (1.0, 1.5, 2.0, 3.0, 4.0):
        made[f"blur of {sd:g} px"] = _each(_blurred(sd))
    for quality in (4, 8, 15, 30):
        made[f"JPEG quality {quality}"] = _each(_compressed(quality))
    for light, noise in ((0.5, 4), (0.25, 6), (0.12, 6), (1.0, 15), (1.0, 30)):
        made[f"light {light:g}, noise {noise}"] = _each(_lit(light, noise, rng))
    for degrees, shift in ((12, 0), (25, 0), (0, 8)):
        made[f"turned by {degrees} degrees, off by {shift} px"] = _each(_moved(degrees, shift))
    made["mouth covered"] = _each(_covered)
    made["eyes 16 px apart, JPEG 10"] = _after(_afar(16), _each(_compressed(10)))
    made["eyes 12 px apart, dark"] = _after(_afar(12), _each(_lit(0.25, 6, rng)))
    made["blur of 2 px, JPEG 10"] = _after(_each(_blurred(2)), _each(_compressed(10)))
    return made


def _each(change: Change) -> Change:
    return lambda chips: np.stack([change(chip) for chip in chips])


def _after(first: Change, then: Change) -> Change:
    return lambda chips: then(first(chips))


def _afar(pixels: int) -> Change:
    return lambda chips: from_afar(chips, pixels)


def _blurred(sd: float) -> Change:
    return lambda chip: cv2.GaussianBlur(chip, (0, 0), sd)


def _compressed(quality: int) -> Change:
    def change(chip: Image) -> Image:
        data = cv2.imencode(".jpg", chip, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

    return change


def _lit(light: float, noise: float, rng: np.random.Generator) -> Change:
    def change(chip: Image) -> Image:
        noisy = chip * light + rng.normal(0, noise, chip.shape)
        return noisy.clip(0, 255).astype(np.uint8)

    return change


def _moved(degrees: float, shift: float) -> Change:
    def change(chip: Image) -> Image:
        side = chip.shape[0]
        warp = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, 1.0)
        warp[0, 2] += shift
        return cv2.warpAffine(chip, warp, (side, side), borderMode=cv2.BORDER_REFLECT)

    return change


def _covered(chip: Image) -> Image:
    chip = chip.copy()
    chip[round(0.7 * len(chip)) :] = 60
    return chip


def _some(chips: Chips, count: int, rng: np.random.Generator) -> Chips:
    known = np.flatnonzero(np.isfinite(chips.age_low))
    return chips.take(np.sort(rng.permutation(known)[:count]))


def run(options: argparse.Namespace) -> None:
    """Print a line for each camera, and how far the predictions are off."""
    rng = np.random.default_rng(_SEED)
    chips = _some(load_chips(options.data, options.set, options.split), options.faces, rng)
    estimator = make_estimator(options.estimator, options.weights)
    print(f"{options.set} {options.split}, {len(chips)} faces: error of age, predicted and true")
    found = []
    for name, change in cameras(rng).items():
        seen = estimate_all(estimator, shrink(change(chips.images), estimator.input_size))
        off = years_outside(seen.age_years, chips.age_low, chips.age_high)
        spread, true = float(seen.age_spread_years.mean()), float(off.mean())
        found.append((spread, true))
        print(f"{name:32} {SHARE * spread:5.1f} {true:5.1f}")
    spreads, errors = np.array(found).T
    off = np.abs(SHARE * spreads - errors)
    best = float((spreads * errors).sum() / (spreads**2).sum())
    print(
        f"off by {off.mean():.2f} years on average, {off.max():.2f} at most; "
        f"within 0.7 in {(off <= 0.7).sum()} of {len(off)}; a share of {best:.2f} would fit best"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    options = parse_arguments(arguments)
    return run_tool("camera_error", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
