"""Average the weights of networks fine-tuned from the same one.

    python -m training.average BEFORE.keras AFTER.keras --out MIDDLE.keras

Fine-tuning gains something and forgets something; halfway between before and after, much of the
gain is often kept without the loss. Networks trained apart do not average to anything.

Reference:
    Wortsman, Ilharco, Kim and others, "Robust fine-tuning of zero-shot models", CVPR 2022.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from errors import WeightsError
from program.options import OneLineParser
from training.result_files import writing
from training.tools import run_tool


def average(sources: Sequence[Path], target: Path) -> None:
    """Write the network whose weights are the mean of those of .keras files with the same heads.

    Raises:
        WeightsError: one of them cannot be read, or they are built differently.
        SinkError: the file cannot be written.
    """
    from estimators.networks.backbones import load_keras

    models = [load_keras(source) for source in sources]
    names = [[(weight.path, tuple(weight.shape)) for weight in m.weights] for m in models]
    for source, other in zip(sources, names, strict=True):
        if other != names[0]:
            raise WeightsError(f"{source} is built differently from {sources[0]}")
    columns = zip(*(model.get_weights() for model in models), strict=True)
    models[0].set_weights([np.mean(column, axis=0) for column in columns])
    with writing(target) as part:
        models[0].save(part)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = OneLineParser(
        prog="python -m training.average", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.keras", help="at least two")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.keras", help="to write")
    options = parser.parse_args(arguments)
    if len(options.files) < 2:
        parser.error("want at least two files")
    if options.out.suffix != ".keras":
        parser.error(f"--out wants a .keras file, got {options.out}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return run_tool("average", lambda: average(options.files, options.out))


if __name__ == "__main__":
    sys.exit(main())
