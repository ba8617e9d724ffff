"""How good the shipped models are on faces that they were never trained on.

    python -m benchmarks.accuracy --data DIR [--weights NAME ...]

Three sets: the test rows of UTKFace and FairFace, as aligned chips, and the photographs
of FG-NET through the full path (detect, align, estimate) with each detector. A face
that the detector misses is counted as missed, not as an error in age.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detectors import DETECTORS, Detector, make_detector
from devices import ENGINES, PRECISIONS
from errors import StreamError
from estimators import Estimator, make_estimator
from estimators.weights import read_manifest
from predict import describe
from structures import ETHNICITIES, Estimates
from training.chips import Chips, load_chips, shrink, years_outside
from video.pictures import load_picture

AGE_BANDS = ((0, 9), (10, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, 120))
_BATCH = 64


def estimate_all(estimator: Estimator, chips: Chips) -> Estimates:
    """Describe every chip of a set; row i belongs to chip i."""
    images = shrink(chips.images, estimator.input_size)
    parts = [estimator.estimate(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
    ethnicity = (
        np.concatenate([p.ethnicity_probs for p in parts]) if estimator.has_ethnicity else None
    )
    return Estimates(
        np.concatenate([part.age_years for part in parts]),
        np.concatenate([part.age_spread_years for part in parts]),
        np.concatenate([part.female_prob for part in parts]),
        ethnicity,
    )


def show_chips(name: str, estimator: Estimator, chips: Chips, groups: bool) -> None:
    """Print one set's figures, overall and by group."""
    told = estimate_all(estimator, chips)
    error = years_outside(told.age_years, chips.age_low, chips.age_high)
    right = (told.female_prob > 0.5) == (chips.female > 0.5)
    exact = chips.age_low == chips.age_high
    measure = "age MAE" if exact.any() else "years outside the labelled range"
    line = f"{name}: n {len(chips)}, {measure} {error.mean():.2f}, gender {right.mean():.3f}"
    if told.ethnicity_probs is not None:
        line += f", ethnicity {(told.ethnicity_probs.argmax(1) == chips.race).mean():.3f}"
    if exact.any():
        z = (told.age_years - chips.age_low) / np.maximum(told.age_spread_years, 0.1)
        line += f", within one spread {(np.abs(z[exact]) < 1).mean():.2f}"
    print(line)
    if not groups:
        return
    middle = (chips.age_low + chips.age_high) / 2
    masks = {"male": chips.female < 0.5, "female": chips.female > 0.5}
    masks |= {race: chips.race == i for i, race in enumerate(ETHNICITIES)}
    masks |= {
        f"{a}-{b}" if b < 100 else f"{a}+": (middle >= a) & (middle <= b) for a, b in AGE_BANDS
    }
    for group, mask in masks.items():
        if mask.any():
            print(
                f"    {group:8} n {mask.sum():5}  MAE {error[mask].mean():5.2f}  "
                f"bias {_signed(told.age_years, chips)[mask].mean():+6.2f}  "
                f"gender {right[mask].mean():.3f}"
            )


def _signed(years: NDArray[np.float32], chips: Chips) -> NDArray[np.float32]:
    return years - np.clip(years, chips.age_low, chips.age_high)


def show_fgnet(folder: Path, estimator: Estimator) -> None:
    """Print the error on FG-NET through the full path with each detector."""
    photographs = sorted(folder.glob("*.JPG"))  # SSSAYY[letter].JPG: subject, age
    ages = np.array([int(path.name[4:6]) for path in photographs])
    told = {name: _ages_of(photographs, make_detector(name), estimator) for name in DETECTORS}
    both = np.all([~np.isnan(years) for years in told.values()], axis=0)
    for name, years in told.items():
        error = np.abs(years - ages)
        print(
            f"FG-NET by {name}: found {np.sum(~np.isnan(years))} of {len(ages)}, MAE "
            f"{np.nanmean(error):.2f}; on the {both.sum()} found by all {error[both].mean():.2f}"
        )


def _ages_of(
    photographs: Sequence[Path], detector: Detector, estimator: Estimator
) -> NDArray[np.float32]:
    """(N,) float32: the age of the largest face of each, NaN where none is found."""
    years = np.full(len(photographs), np.nan, np.float32)
    for i, path in enumerate(photographs):
        detections, estimates = describe(load_picture(path, str(path)), detector, estimator)
        if len(detections):
            sides = detections.boxes[:, 2:] - detections.boxes[:, :2]
            years[i] = estimates.age_years[sides.prod(axis=1).argmax()]
    return years


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy")
    parser.add_argument("--data", type=Path, required=True, help="holds faces/ and raw/fgnet/")
    parser.add_argument("--weights", nargs="+", metavar="NAME", help="default: all shipped ones")
    parser.add_argument(
        "--groups", action="store_true", help="by gender, ethnicity and age band too"
    )
    parser.add_argument("--engine", choices=("auto", *ENGINES), default="auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    options = parser.parse_args()
    models = read_manifest()["models"]
    try:
        sets = {
            name: load_chips(options.data / "faces", name, "test")
            for name in ("utkface", "fairface")
        }
        for name in options.weights or models:
            print(f"\n{name}")
            estimator = make_estimator(
                models[name]["architecture"], name, options.engine, precision=options.precision
            )
            for label, chips in sets.items():
                show_chips(label, estimator, chips, options.groups)
            show_fgnet(options.data / "raw" / "fgnet" / "images", estimator)
    except StreamError as error:
        print(f"accuracy: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
