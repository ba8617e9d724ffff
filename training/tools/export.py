"""Make the other engines' files from a .keras file, and list them in the manifest.

    python -m estimators.export weights/mobilenetv2_fairface.keras
    python -m estimators.export FILE.keras --formats onnx,int8,savedmodel --data DIR
    python -m estimators.export FILE.keras --name NAME --terms "..." --trained-on "..."

FILE.onnx is written beside FILE.keras and compared with it on random chips; int8 is kept only
where it costs almost no accuracy on the test rows of --data. With --name the files go to weights/
under that name, with an entry in weights/manifest.json; the hashes of files already listed there
are updated. Nothing is changed if anything fails.
Needs TensorFlow (pip install '.[train]'), int8 also requirements-dev.txt.
"""

import argparse
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engines.openvino_engine import CompiledNetwork
from errors import SinkError, WeightsError
from estimators.networks.backbones import load_keras
from estimators.weights import MANIFEST, WEIGHTS_DIR
from files import replacing
from program.options import OneLineParser
from training.records import read_record
from training.tools import run_tool
from training.tools.manifest import ModelEntry, check_entry, enter_model, update_manifest

TOLERANCE = 1e-4
FORMATS = ("onnx", "int8", "savedmodel", "keras")


def export(keras_path: Path) -> tuple[Path, float]:
    """Write the .onnx file; return its path and the largest difference of any output.

    The outputs are compared on 8 random chips.

    Raises:
        WeightsError: no such file, not a Keras model, one that ONNX or OpenVINO cannot
            express, or the outputs differ by more than 1e-4 of their size.
    """
    model = _load(keras_path)
    shape = (8, *model.inputs[0].shape[1:])
    chips = np.random.default_rng(0).integers(0, 256, shape, np.uint8).astype(np.float32)
    expected = {name: np.asarray(value) for name, value in model(chips).items()}
    target = keras_path.with_suffix(".onnx")
    try:
        with replacing(target) as partial, warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the converter probes np.object
            model.export(partial, format="onnx", verbose=False)
            worst = _largest_difference(partial, chips, expected)
            if worst > TOLERANCE:
                text = f"{keras_path}: the ONNX file differs by {worst:.1e}, not written"
                raise WeightsError(text)
    except RuntimeError as error:
        raise WeightsError(f"{keras_path} uses operations that ONNX or OpenVINO lacks") from error
    return target, worst


def export_savedmodel(keras_path: Path) -> Path:
    """Write the folder FILE_savedmodel beside `keras_path`; it must not exist yet."""
    target = keras_path.with_name(f"{keras_path.stem}_savedmodel")
    _load(keras_path).export(target, format="tf_saved_model", verbose=False)
    return target


def _load(path: Path) -> Any:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return load_keras(path)


def _largest_difference(
    onnx_path: Path, chips: np.ndarray, expected: dict[str, np.ndarray]
) -> float:
    results = CompiledNetwork(onnx_path)(chips)
    return max(
        float(np.abs(results[name] - value).max() / max(1.0, np.abs(value).max()))
        for name, value in expected.items()
    )


def make_files(
    source: Path, formats: Sequence[str], data: Path | None, sets: Sequence[str]
) -> dict[str, Path]:
    """Make files beside `source`, a .keras file, and print their names; return format -> file.

    Args:
        source: the .keras file.
        formats: some of `FORMATS`; the SavedModel, a folder, is returned as "savedmodel".
        data: folder of the labelled sets that int8 needs.
        sets: their names; ranges are measured on the first.

    Raises:
        StreamError: one cannot be made.
    """
    made: dict[str, Path] = {}
    if "onnx" in formats or "int8" in formats:
        made["onnx"], worst = export(source)
        print(f"{made['onnx'].name}  largest difference {worst:.1e}")
    if "int8" in formats:
        from training.tools.int8 import quantize_if_cheap  # imported only when needed

        if data is None:
            raise WeightsError("int8 needs --data, a folder with labelled chips")
        if (quantized := quantize_if_cheap(made["onnx"], data, sets)) is not None:
            made["onnx_int8"] = quantized
    if "savedmodel" in formats:
        made["savedmodel"] = export_savedmodel(source)
        print(made["savedmodel"].name)
    return made


def export_all(
    source: Path,
    options: argparse.Namespace,
    weights_dir: Path = WEIGHTS_DIR,
    make: Callable[..., dict[str, Path]] = make_files,
) -> None:
    """Make everything requested for one .keras file, or nothing.

    Files with --name go to `weights_dir`, whose manifest is updated.

    Raises:
        StreamError: something cannot be made or written.
    """
    if source.suffix != ".keras" or not source.is_file():
        raise WeightsError(f"{source} is not an existing .keras file")
    manifest = weights_dir / MANIFEST.name
    record = read_record(source.with_suffix(".json")) if options.name else {}
    entry = _entry(record, options, manifest)
    folder, name = (weights_dir, entry.name) if entry else (source.parent, source.stem)
    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as temporary:
            copy = Path(temporary) / f"{name}.keras"
            shutil.copyfile(source, copy)
            made = make(copy, options.formats, options.data, options.sets)
            if entry:
                made = {"keras": copy, **made}
                if record:
                    of_source = source.with_suffix(".json")
                    made["record"] = Path(shutil.copyfile(of_source, copy.with_suffix(".json")))
            placed = {kind: _place(file, folder) for kind, file in made.items()}
    except OSError as error:
        raise SinkError(f"cannot write to {folder}: {error.strerror or error}") from error
    files = {kind: file for kind, file in placed.items() if kind not in ("savedmodel", "record")}
    if entry:
        card = enter_model(entry, files, manifest, record.get("confusion"))
        print(f"{entry.name} entered in the manifest; its card is {card}")
    elif update_manifest("keras", source, files, manifest):
        print("manifest updated")


def _place(file: Path, folder: Path) -> Path:
    """Move a file or folder to its place, replacing any before it."""
    target = folder / file.name
    if target.is_dir():
        shutil.rmtree(target)
    return file.replace(target)


def _entry(
    record: dict[str, Any], options: argparse.Namespace, manifest: Path
) -> ModelEntry | None:
    """Return the manifest entry, from the options or the record of the training."""
    if not options.name:
        return None
    requested = ModelEntry(
        options.name,
        options.architecture or record.get("architecture"),
        record.get("spread_scale") if options.spread_scale is None else options.spread_scale,
        options.trained_on,
        options.terms,
    )
    return check_entry(requested, options.replace, manifest)


def _formats(text: str) -> tuple[str, ...]:
    chosen = tuple(part.strip() for part in text.split(","))
    if set(chosen) - set(FORMATS):
        raise argparse.ArgumentTypeError(f"want a list of {','.join(FORMATS)}, got {text!r}")
    return chosen


def main(
    argv: Sequence[str] | None = None,
    weights_dir: Path = WEIGHTS_DIR,
    make: Callable[..., dict[str, Path]] = make_files,
) -> int:
    """Run the command; return the exit code. For the other arguments see `export_all`."""
    parser = OneLineParser(
        prog="python -m estimators.export", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE.keras")
    add("--formats", type=_formats, default=("onnx",), help=f"some of {','.join(FORMATS)}")
    add("--data", type=Path, help="for int8: folder with NAME.tar and NAME.csv")
    add("--sets", nargs="+", default=["fairface"], help="for int8: sets (default: fairface)")
    add("--name", help="put the files into weights/ under this name, with a manifest entry")
    add("--architecture", help="for --name; default: from the record of the training")
    add("--spread-scale", type=float, help="for --name; default: from the record")
    add("--trained-on", help="for --name: the data, in words")
    add("--terms", help="for --name: what the weights may be used for")
    add("--replace", action="store_true", help="for --name: replace a model of that name")
    options = parser.parse_args(argv)
    if options.name and len(options.files) > 1:
        parser.error("--name needs one FILE.keras")

    def work() -> None:
        for path in options.files:
            export_all(path, options, weights_dir, make)

    return run_tool("export", work)


if __name__ == "__main__":
    sys.exit(main())
