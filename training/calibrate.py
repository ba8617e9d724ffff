"""Measure how far networks can be trusted, and write it into their manifest entries.

    python -m training.calibrate WEIGHTS... --data DIR --sets NAME:SPLIT...

It fits `spread_scale`, which makes the spread of a told age honest. The sets are those of
`training.evaluate`; use rows that the networks never learnt from, and no test rows. With
`--held-out SHARE` only the rows count that `training.train` held out with these sets, that share
and `--seed`. A set counts with the root of its number of faces, so that no set decides alone.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import WeightsError
from estimators import make_estimator
from estimators.age import SpreadScale, scale_at
from estimators.weights import MANIFEST, find_weights, read_manifest
from program.options import OneLineParser, number
from training.chips import Chips, join, load_chips, shrink
from training.fitting.held_out import hold_out
from training.fitting.spreads import fit_spread_scale, written
from training.judging.contenders import estimate_all
from training.records import words
from training.tools import run_tool
from training.tools.manifest import enter_spread_scale

Floats = NDArray[np.float64]


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; bad values exit with one line and code 2."""
    parser = OneLineParser(
        prog="python -m training.calibrate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("weights", nargs="+", metavar="WEIGHTS", help="names of weights/manifest.json")
    add("--data", type=Path, required=True, metavar="DIR", help="folder that holds the sets")
    add("--sets", nargs="+", required=True, metavar="NAME:SPLIT")
    add("--held-out", type=number(float, 0.0, 1.0), metavar="SHARE", help="only rows held out")
    add("--seed", type=number(int, 0), default=0, help="of the training (default: 0)")
    add("--dry-run", action="store_true", help="print the figures and write nothing")
    return parser.parse_args(arguments)


def gather(
    data: Path, sets: Sequence[str], held_out: float | None, seed: int
) -> tuple[Chips, Floats]:
    """Read the sets' chips; returns them, and (N,) what each counts."""
    parts = []
    for text in sets:
        name, _, split = text.partition(":")
        parts.append(load_chips(data, name, split))
    chips = join(parts)
    of_set = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    if held_out is not None:
        _, rows = hold_out(chips.groups, held_out, seed)
        chips, of_set = chips.take(rows), of_set[rows]
    return chips, 1 / np.sqrt(np.bincount(of_set, minlength=len(parts))[of_set])


def calibrate(name: str, architecture: str, chips: Chips, weights: Floats) -> SpreadScale:
    """Fit the spread scale of one network on chips that it never learnt from."""
    estimator = make_estimator(architecture, name)
    known = np.flatnonzero(np.isfinite(chips.age_low))
    chips, weights = chips.take(known), weights[known]
    told = estimate_all(estimator, shrink(chips.images, estimator.input_size))
    before = find_weights(name, architecture).spread_scale
    spread = told.age_spread_years / scale_at(before, told.age_years)
    return fit_spread_scale(told.age_years, spread, chips.age_low, chips.age_high, weights)


def run(options: argparse.Namespace, manifest: Path = MANIFEST) -> None:
    """Fit each network, print its scale, and write all of them into the manifest at the end."""
    models = read_manifest(manifest)["models"]
    for name in options.weights:
        if name not in models:
            raise WeightsError(f"{manifest} has no {name!r}; known: {', '.join(models)}")
    _check_rows(options, models)
    chips, weights = gather(options.data, options.sets, options.held_out, options.seed)
    scales = {}
    for name in options.weights:
        scales[name] = written(calibrate(name, models[name]["architecture"], chips, weights))
        print(f"{name}: spread_scale {scales[name]}")
    if not options.dry_run:
        for name, scale in scales.items():
            enter_spread_scale(name, scale, manifest)


def _check_rows(options: argparse.Namespace, models: dict[str, Any]) -> None:
    """Raise WeightsError if a network learnt from the rows that it is to be measured on."""
    if options.held_out is not None:
        return
    named = [text.partition(":")[::2] for text in options.sets]
    for name in options.weights:
        learnt = words(models[name]["trained_on"])
        known = [each for each, split in named if split == "train" and each in learnt]
        if known:
            raise WeightsError(
                f"{name} learnt from {', '.join(known)}; choose other --sets, or with --held-out "
                "the rows that its training held out"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    options = parse_arguments(arguments)
    return run_tool("calibrate", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
