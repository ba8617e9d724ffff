"""Make the .onnx file that the CPU engine reads out of a .keras file.

    python -m estimators.export weights/mobilenetv2_fairface.keras

The .onnx file is written beside the .keras file and compared with it on random
chips; where weights/manifest.json lists the file, its hashes are brought up to date.
Needs TensorFlow (requirements.txt).
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from errors import StreamError, WeightsError
from estimators.weights import MANIFEST, file_sha256, read_manifest
from inference import compile_for_cpu

TOLERANCE = 1e-4


def export(keras_path: Path) -> tuple[Path, float]:
    """Write the .onnx file beside `keras_path`.

    Returns:
        Its path, and the largest difference of any output on 8 random chips.

    Raises:
        WeightsError: no such file, not a Keras model, one that ONNX or OpenVINO has no
            words for, or the outputs differ by more than 1e-4.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    try:
        model = keras.models.load_model(keras_path, compile=False)
    except (ValueError, OSError) as error:
        raise WeightsError(f"{keras_path} is not a Keras model that can be loaded") from error
    shape = (8, *model.inputs[0].shape[1:])
    chips = np.random.default_rng(0).integers(0, 256, shape, np.uint8).astype(np.float32)
    expected = {name: np.asarray(value) for name, value in model(chips).items()}
    target = keras_path.with_suffix(".onnx")
    partial = target.with_suffix(".partial.onnx")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the converter probes np.object
            model.export(partial, format="onnx", verbose=False)
        worst = _largest_difference(partial, chips, expected)
        if worst > TOLERANCE:
            raise WeightsError(f"{keras_path}: the ONNX file differs by {worst:.1e}, not written")
        partial.replace(target)
    except RuntimeError as error:
        raise WeightsError(f"{keras_path} does what ONNX or OpenVINO cannot") from error
    finally:
        partial.unlink(missing_ok=True)
    return target, worst


def _largest_difference(
    onnx_path: Path, chips: np.ndarray, expected: dict[str, np.ndarray]
) -> float:
    results = compile_for_cpu(onnx_path)(chips)
    return max(float(np.abs(results[name] - value).max()) for name, value in expected.items())


def update_manifest(kind: str, source: Path, made: dict[str, Path], path: Path = MANIFEST) -> bool:
    """Enter the hashes of a file and of what was made from it where the manifest lists it.

    The manifest at `path` lists the files of its own folder: one of the same name elsewhere
    is another. An int8 file made from an .onnx file that is replaced is struck off.

    Args:
        kind: format of `source`: "keras" or "onnx".
        source: the file.
        made: format -> file made from it, in the same folder.
        path: the manifest.

    Returns:
        Whether it is listed.
    """
    manifest: dict[str, Any] = read_manifest(path)
    for entry in manifest["models"].values():
        files = entry["files"]
        if kind not in files:
            continue
        if (path.parent / files[kind]["file"]).resolve() == source.resolve():
            if "onnx" in made:
                files.pop("onnx_int8", None)
            files[kind]["sha256"] = file_sha256(source)
            for format_, file in made.items():
                files[format_] = {"file": file.name, "sha256": file_sha256(file)}
            text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
            path.write_text(text, encoding="utf-8")
            return True
    return False


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m estimators.export", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.keras")
    try:
        for path in parser.parse_args().files:
            if path.suffix != ".keras" or not path.is_file():
                raise WeightsError(f"{path} is not an existing .keras file")
            target, worst = export(path)
            listed = update_manifest("keras", path, {"onnx": target})
            print(f"{target}  largest difference {worst:.1e}{'  (manifest updated)' * listed}")
    except StreamError as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
