"""Make the int8 file of `--precision int8` out of an .onnx file.

    python -m training.int8 weights/mobilenetv2_fairface.onnx --data DIR

The ranges of the maps are measured on train rows of FairFace, whose terms (CC BY 4.0)
the file then inherits. NAME.int8.onnx is written beside NAME.onnx; where
weights/manifest.json lists NAME.onnx, the new file is entered. Convolutions and their
sums become integers; the first two, closest to the pixels, and the heads stay float32.
The settings are those that came closest to the float32 network on other train rows.
Needs onnxruntime and onnx (requirements-dev.txt).
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from errors import StreamError, WeightsError
from estimators.engines import chip_side
from estimators.export import update_manifest
from inference import open_session
from training.chips import load_chips, shrink

CHIPS = 256
_PERCENTILE = 99.99  # of the values of a map; what lies beyond is cut off


class _Chips:
    """Hands chips one by one to ONNX Runtime's calibration."""

    def __init__(self, name: str, chips: NDArray[np.uint8]) -> None:
        self._rest = iter([{name: chip[None].astype(np.float32)} for chip in chips])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._rest, None)


def quantize(source: Path, chips: NDArray[np.uint8]) -> Path:
    """Write the int8 file beside `source`.

    Weights get 7 bits: with 8, sums may saturate on CPUs without VNNI, silently.

    Args:
        source: an .onnx file.
        chips: (N, 112, 112, 3) uint8 RGB to measure on.

    Returns:
        The file's path.

    Raises:
        WeightsError: not a network for chips.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        session = open_session(source)
    except RuntimeError as error:
        raise WeightsError(f"{source} is not a network that ONNX Runtime can run") from error
    inputs = session.get_inputs()
    side = chip_side(
        [tuple(n if isinstance(n, int) else None for n in i.shape) for i in inputs], source
    )
    target = source.with_suffix(".int8.onnx")
    with tempfile.TemporaryDirectory() as folder:
        fused, partial = Path(folder) / "fused.onnx", Path(folder) / target.name
        quant_pre_process(source, fused, skip_symbolic_shape=True)
        quantize_static(
            fused,
            partial,
            _Chips(inputs[0].name, shrink(chips, side)),
            op_types_to_quantize=["Conv", "Add"],
            nodes_to_exclude=_convolutions(fused)[:2],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": _PERCENTILE},
        )
        target.write_bytes(partial.read_bytes())
    return target


def _convolutions(path: Path) -> list[str]:
    """Names of a network's convolutions, first to last."""
    import onnx

    return [node.name for node in onnx.load(path).graph.node if node.op_type == "Conv"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.int8", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.onnx")
    parser.add_argument("--data", type=Path, required=True, help="holds faces/")
    options = parser.parse_args(arguments)
    try:
        chips = load_chips(options.data / "faces", "fairface", "train", CHIPS).images
        for path in options.files:
            target = quantize(path, chips)
            listed = update_manifest("onnx", path, {"onnx_int8": target})
            print(f"{target}{'  (manifest updated)' * listed}")
    except StreamError as error:
        print(f"int8: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
