"""Make the int8 file of `--precision int8` from an .onnx file.

    python -m training.int8 weights/mobilenetv2_fairface.onnx --data DIR

The ranges of the maps are measured on train rows of FairFace, whose terms (CC BY 4.0) the file
then inherits. NAME.int8.onnx is written beside NAME.onnx, and listed in weights/manifest.json if
that lists NAME.onnx. Convolutions and their sums become integers; the first two, closest to the
pixels, and the heads stay float32. The settings are those that came closest to the float32
network on other train rows. Needs onnxruntime and onnx (requirements-dev.txt).
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.onnxruntime_engine import input_shapes, open_session
from engines.openvino_engine import OpenVinoEngine
from engines.pieces import chip_side
from errors import WeightsError
from program.options import OneLineParser
from training.chips import Chips, load_chips, shrink
from training.fitting.held_out import metrics
from training.result_files import writing
from training.tools import run_tool
from training.tools.manifest import update_manifest

CHIPS = 256
# Largest loss on test rows: age error in years, points of correct genders.
MOST_YEARS, MOST_POINTS = 0.1, 0.3
_PERCENTILE = 99.99  # of a map's values; larger ones are clipped


class _Feed:
    """Hands chips one by one to ONNX Runtime's calibration."""

    def __init__(self, name: str, chips: NDArray[np.uint8]) -> None:
        self._rest = iter([{name: chip[None].astype(np.float32)} for chip in chips])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._rest, None)


def quantize(source: Path, chips: NDArray[np.uint8]) -> Path:
    """Write the int8 file beside `source`, an .onnx file; return its path.

    Weights get 7 bits: with 8, sums may saturate on CPUs without VNNI, silently. Ranges are
    measured on `chips`, (N, 112, 112, 3) uint8 RGB.

    Raises:
        WeightsError: not a network for chips.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        session = open_session(source)
    except RuntimeError as error:
        raise WeightsError(f"{source} is not a network that ONNX Runtime can run") from error
    side = chip_side(input_shapes(session), source)
    target = source.with_suffix(".int8.onnx")
    with tempfile.TemporaryDirectory() as folder:
        fused, partial = Path(folder) / "fused.onnx", Path(folder) / target.name
        quant_pre_process(source, fused, skip_symbolic_shape=True)
        quantize_static(
            fused,
            partial,
            _Feed(session.get_inputs()[0].name, shrink(chips, side)),
            op_types_to_quantize=["Conv", "Add"],
            nodes_to_exclude=_convolutions(fused)[:2],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": _PERCENTILE},
        )
        with writing(target) as part:
            part.write_bytes(partial.read_bytes())
    return target


def quantize_if_cheap(
    source: Path,
    folder: Path,
    sets: Sequence[str],
    most_years: float = MOST_YEARS,
    most_points: float = MOST_POINTS,
) -> Path | None:
    """Write the int8 file if its estimates for test rows are about as good as the float32 ones.

    Args:
        source: an .onnx file.
        folder: holds NAME.tar and NAME.csv.
        sets: names; ranges are measured on train rows of the first, losses on test rows of all.
        most_years: limit to the rise of the age error.
        most_points: limit to the loss of correct genders, percentage points.

    Returns:
        The file; None, with a message, if it loses too much.

    Raises:
        StreamError: not a network for chips, or a set is missing.
    """
    target = quantize(source, load_chips(folder, sets[0], "train", CHIPS).images)
    cheap = True
    for name in sets:
        chips = load_chips(folder, name, "test")
        exact, coarse = (_measure(path, chips) for path in (source, target))
        years = coarse.get("age_mae_years", 0.0) - exact.get("age_mae_years", 0.0)
        points = 100 * (exact.get("gender_accuracy", 0.0) - coarse.get("gender_accuracy", 0.0))
        cheap &= years < most_years and points < most_points
        print(
            f"int8 on {len(chips)} test rows of {name}: {years:+.3f} years, {-points:+.2f} points"
        )
    if cheap:
        return target
    target.unlink()
    print(f"int8 not kept: its loss must be below {most_years} years and {most_points} points")
    return None


def _measure(path: Path, chips: Chips) -> dict[str, float]:
    """Measure a network on labelled chips, see `held_out.metrics`."""
    engine = OpenVinoEngine(path)
    images = shrink(chips.images, engine.input_size)
    parts = [engine.submit(images[i : i + 64])() for i in range(0, len(images), 64)]
    return metrics({k: np.concatenate([part[k] for part in parts]) for k in parts[0]}, chips)


def _convolutions(path: Path) -> list[str]:
    """Return the names of a network's convolutions, first to last."""
    import onnx

    return [node.name for node in onnx.load(path).graph.node if node.op_type == "Conv"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = OneLineParser(prog="python -m training.int8", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE.onnx")
    add("--data", type=Path, required=True, help="folder with NAME.tar and NAME.csv")
    add("--set", default="fairface", help="name of the set (default: %(default)s)")
    options = parser.parse_args(arguments)

    def work() -> None:
        chips = load_chips(options.data, options.set, "train", CHIPS).images
        for path in options.files:
            target = quantize(path, chips)
            listed = update_manifest("onnx", path, {"onnx_int8": target})
            print(f"{target}{'  (manifest updated)' * listed}")

    return run_tool("int8", work)


if __name__ == "__main__":
    sys.exit(main())
