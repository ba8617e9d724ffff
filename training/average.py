"""Average the weights of networks fine-tuned from the same one.

    python -m training.average BEFORE.keras AFTER.keras --out MIDDLE.keras
    python -m training.average BEFORE.keras AFTER.keras --out C.keras --data DIR --sets fairface

Fine-tuning gains something and forgets something; halfway between before and after, much of the
gain is often kept without the loss. Networks trained apart do not average to anything.

Statistics of features, which `dlibresnet` normalises, are no mean of the others': with `--data` and
`--sets` they are those of train rows of the sets that the networks learnt from.

References:
    Wortsman, Ilharco, Kim and others, "Robust fine-tuning of zero-shot models", CVPR 2022.
    Izmailov and others, "Averaging weights leads to wider optima and better generalization", UAI
    2018, for the statistics.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from errors import WeightsError
from program.options import OneLineParser
from training.chips import join, load_chips
from training.fitting.networks import normalises_features, settle, settling
from training.records import write_derived
from training.result_files import writing
from training.tools import run_tool


def average(sources: Sequence[Path]) -> Any:
    """Return the network whose weights are the mean of those of .keras files with the same heads.

    Raises:
        WeightsError: one of them cannot be read, or they are built differently.
    """
    from estimators.networks.backbones import load_keras

    models = [load_keras(source) for source in sources]
    names = [[(weight.path, tuple(weight.shape)) for weight in m.weights] for m in models]
    for source, other in zip(sources, names, strict=True):
        if other != names[0]:
            raise WeightsError(f"{source} is built differently from {sources[0]}")
    columns = zip(*(model.get_weights() for model in models), strict=True)
    models[0].set_weights([np.mean(column, axis=0) for column in columns])
    return models[0]


def run(options: argparse.Namespace) -> None:
    """Do what the command line says."""
    model = average(options.files)
    if options.sets:
        if not normalises_features(model):
            name = options.files[0]
            raise WeightsError(f"{name} does not normalise its features: leave out --data")
        images = join([load_chips(options.data, name, "train") for name in options.sets]).images
        settle(model, images[settling(len(images))])
    with writing(options.out) as part:
        model.save(part)
    write_derived(options.out, options.files, [])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = OneLineParser(
        prog="python -m training.average", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE.keras", help="at least two")
    add("--out", type=Path, required=True, metavar="FILE.keras", help="to write")
    add("--data", type=Path, metavar="DIR", help="folder of the sets")
    add("--sets", nargs="+", default=[], metavar="NAME", help="which normalise the features")
    options = parser.parse_args(arguments)
    if len(options.files) < 2:
        parser.error("want at least two files")
    if options.out.suffix != ".keras":
        parser.error(f"--out wants a .keras file, got {options.out}")
    if bool(options.sets) != (options.data is not None):
        parser.error("--data and --sets are given together")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return run_tool("average", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
