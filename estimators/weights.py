"""The weights that come with the program, and how they are chosen.

`weights/manifest.json` lists every model: architecture, files with their SHA-256, calibration,
terms. A shipped file whose hash differs is rejected.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from errors import WeightsError
from estimators.age import SpreadScale
from structures import AGE_BINS

T = TypeVar("T")

WEIGHTS_DIR = Path(__file__).resolve().parent.parent / "weights"
MANIFEST = WEIGHTS_DIR / "manifest.json"
Confusion = tuple[tuple[int, ...], ...]
GROUPS = 10  # that a confusion tells apart: two genders by five age bands
_COPIED_S = 10.0  # two files that are copied together are this close
_RESTORE = "restore the folder weights/ from the repository"


@dataclass(frozen=True, slots=True)
class Weights:
    """One trained model on disk.

    Attributes:
        name: as `--weights` takes it.
        architecture: one of `estimators.ARCHITECTURES`.
        files: format ("onnx", "onnx_int8", "keras") -> path; at least one.
        sha256: format -> expected hash; empty for a user's own file.
        spread_scale: calibration of the age spread, see `age.decode_age`.
        terms: what the file may be used for.
        again: how to get the files again, where they are not those of the repository.
        bfloat16: whether OpenVINO may compute in bfloat16 when no precision is requested.
        confusion: how often each group of people was taken for which, in faces that the
            network never learnt from (see `people.correction`); None = not counted.
    """

    name: str
    architecture: str
    files: dict[str, Path]
    sha256: dict[str, str]
    spread_scale: SpreadScale
    terms: str
    again: str = _RESTORE
    bfloat16: bool = False
    confusion: Confusion | None = None

    def path(self, file_format: str) -> Path:
        """Return the file in that format, checked against its hash, or raise WeightsError."""
        if file_format not in self.files:
            raise WeightsError(
                f"weights {self.name} have no .{file_format} file{self._remedy(file_format)}"
            )
        path = self.files[file_format]
        expected = self.sha256.get(file_format)
        try:
            if not path.is_file():
                raise WeightsError(f"weights file {path} is missing; {self.again}")
            sha256 = file_sha256(path)
        except OSError as error:
            raise _unreadable(path, error) from error
        if expected is not None and sha256 != expected:
            raise WeightsError(f"weights file {path} is damaged (SHA-256 differs); {self.again}")
        return path

    def _remedy(self, file_format: str) -> str:
        if file_format == "onnx_int8" and "onnx" in self.files:
            return "; choose another --precision"
        if file_format == "onnx" and "keras" in self.files:
            keras = self.files["keras"]
            newer = " as new as the .keras file" * keras.with_suffix(".onnx").is_file()
            return f"{newer}; make it with: python -m estimators.export {keras}"
        return "; choose another --engine"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(path: Path = MANIFEST) -> dict[str, Any]:
    """Read the manifest; WeightsError if it is missing or not JSON."""
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path} ({error}); {_RESTORE}") from error
    except RecursionError as error:
        raise WeightsError(f"cannot read {path} (too deep); {_RESTORE}") from error
    return manifest


def _checked_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest that says everything that is needed of each model, else WeightsError."""
    manifest = read_manifest(path)
    try:
        for name in manifest["defaults"].values():
            _text(name)
        for name, entry in manifest["models"].items():
            _shipped(name, entry, path.parent)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise WeightsError(f"{path} lacks what it must say, or is wrong; {_RESTORE}") from error
    return manifest


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"want text, got {value!r}")
    return value


def _file_name(value: object) -> str:
    """A file of the manifest's own folder; anything else would be read from anywhere."""
    name = _text(value)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"want the name of a file, got {name!r}")
    return name


def _scale(value: object) -> SpreadScale:
    """A factor, or factors by told age."""
    if not isinstance(value, dict):
        return _factor(value)
    pairs = tuple(sorted((float(age), _factor(factor)) for age, factor in value.items()))
    if not pairs or not all(0 <= age < AGE_BINS for age, _ in pairs):
        raise ValueError(f"want factors by told age, got {value!r}")
    return pairs


def _factor(value: object) -> float:
    if not isinstance(value, int | float) or not 0 < value < 1000:
        raise ValueError(f"want a factor, got {value!r}")
    return float(value)


def _confusion(entry: dict[str, Any]) -> Confusion | None:
    """Read "faces" of "confusion", a line of numbers for each group; None = there is none."""
    if "confusion" not in entry:
        return None
    rows = [_text(row).split() for row in entry["confusion"]["faces"]]
    if [len(row) for row in rows] != [GROUPS] * GROUPS:
        raise ValueError(f"want {GROUPS} lines of {GROUPS} numbers, got {rows}")
    numbers = tuple(tuple(int(number) for number in row) for row in rows)
    if any(number < 0 for row in numbers for number in row):
        raise ValueError("want numbers of faces, got a negative one")
    return numbers


def find_weights(choice: str | None, architecture: str, folder: Path = WEIGHTS_DIR) -> Weights:
    """Choose weights by name or by path.

    Args:
        choice: a name of the manifest, the path of a .keras or .onnx file, or None for
            the architecture's default.
        architecture: what the weights must fit.
        folder: of the manifest and the files it names.

    Raises:
        WeightsError: unknown name, missing file, or weights of another architecture.
    """
    manifest = _checked_manifest(folder / MANIFEST.name)
    name = choice or _default(architecture, manifest)
    if name in manifest["models"]:
        weights = _shipped(name, manifest["models"][name], folder)
        if weights.architecture != architecture:
            raise WeightsError(
                f"weights {name} belong to {weights.architecture}; "
                f"add --estimator {weights.architecture} or choose other weights"
            )
        return weights
    path = Path(name)
    if path.suffix.lower() in (".keras", ".onnx"):
        return _own(path, architecture, manifest)
    known = ", ".join(n for n, m in manifest["models"].items() if m["architecture"] == architecture)
    raise WeightsError(
        f"no weights called {name!r} for {architecture}; "
        f"known: {known or 'none'}, or give the path of a .keras or .onnx file"
    )


def named_weights(name: str, folder: Path = WEIGHTS_DIR) -> Weights:
    """Return the weights of a name of the manifest, whatever network they fit; see above."""
    models = read_manifest(folder / MANIFEST.name)["models"]
    if name not in models:
        raise WeightsError(f"no weights called {name!r}; known: {', '.join(models)}")
    return find_weights(name, models[name]["architecture"], folder)


def _default(architecture: str, manifest: dict[str, Any]) -> str:
    """Return the name of the architecture's default weights; WeightsError if it has none."""
    name: str = manifest["defaults"].get(architecture, "")
    if not name:
        raise WeightsError(
            f"no weights come with {architecture}; give your own with --weights FILE.keras "
            "(python -m training.train makes them)"
        )
    if name not in manifest["models"]:
        raise WeightsError(f"{MANIFEST} lacks the default weights {name}; {_RESTORE}")
    return name


def _shipped(name: str, entry: dict[str, Any], folder: Path) -> Weights:
    files = entry["files"]
    return Weights(
        name=name,
        architecture=_text(entry["architecture"]),
        files={kind: folder / _file_name(item["file"]) for kind, item in files.items()},
        sha256={kind: _text(item["sha256"]) for kind, item in files.items()},
        spread_scale=_scale(entry["spread_scale"]),
        terms=_text(entry["terms"]),
        confusion=_confusion(entry),
    )


def _own(path: Path, architecture: str, manifest: dict[str, Any]) -> Weights:
    """A user's own file, with the same model in the other format if that exists.

    An .onnx file that is older than the named .keras file is of other weights.
    """
    default = manifest["models"].get(manifest["defaults"].get(architecture), {})
    both = {kind: path.with_suffix(f".{kind}") for kind in ("onnx", "keras")}
    both[path.suffix.lower().removeprefix(".")] = path  # as spelled: it may be .ONNX
    try:
        files = {kind: file for kind, file in both.items() if file.is_file()}
    except OSError as error:
        raise _unreadable(path, error) from error
    if path not in files.values():
        raise WeightsError(f"weights file {path} does not exist; check the path of --weights")
    if path is files.get("keras") and "onnx" in files and _is_older(files["onnx"], path):
        del files["onnx"]
    return Weights(
        name=path.stem,
        architecture=architecture,
        files=files,
        sha256={},
        spread_scale=_recorded(path, lambda record: _scale(record["spread_scale"]))
        or _scale(default.get("spread_scale", 1.0)),
        terms="your own file",
        confusion=_recorded(path, _confusion),
    )


def _is_older(path: Path, than: Path) -> bool:
    """Whether a file was written before another, not merely copied before it."""
    return than.stat().st_mtime - path.stat().st_mtime > _COPIED_S


def _recorded(path: Path, read: Callable[[dict[str, Any]], T]) -> T | None:
    """What `training.train` or `training.confusion` wrote beside a file; None = nothing."""
    try:
        return read(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(
        f"weights file {path} cannot be read: {error.strerror}; check the path and its permissions"
    )
