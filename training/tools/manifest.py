"""Write weights/manifest.json: update hashes, add new models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import WeightsError
from estimators import ARCHITECTURES
from estimators.weights import MANIFEST, file_sha256, read_manifest
from files import write_whole

_CARD = """# {name}

| | |
|---|---|
| Architecture | {architecture} |
| Input | aligned chips, RGB, 0..255; scaling is the first layer |
| Trained on | {trained_on} |
| Terms | {terms} |
| Files | {files} |

## Recipe
`{name}.json` has all settings of `python -m training.train`, where they are known.

## Accuracy
`python -m training.evaluate {name} --data DIR --sets NAME --card {name}.md --out DIR` writes them
here.

## Limits
- It estimates the *apparent* age and the *perceived* gender of a face, as people would label
  a photograph: neither is a fact about the person.
- Two genders and five groups are what the training labels hold; the world has more.
"""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model's manifest entry besides its files; None = keep the existing value.

    Attributes:
        name: as `--weights` takes it.
        architecture: one of `estimators.ARCHITECTURES`.
        spread_scale: calibration of the age spread, see `age.decode_age`: for all ages, or by
            told age.
        trained_on: data, in words.
        terms: what the files may be used for.
    """

    name: str
    architecture: str | None = None
    spread_scale: float | dict[str, float] | None = None
    trained_on: str | None = None
    terms: str | None = None


def update_manifest(kind: str, source: Path, made: dict[str, Path], path: Path = MANIFEST) -> bool:
    """Update the hashes of a file and of those made from it; return whether it is listed.

    The manifest at `path` lists the files of its own folder: one of the same name elsewhere
    is another. When an .onnx file is replaced, the int8 file made from it is removed.

    Args:
        kind: format of `source`: "keras" or "onnx".
        source: the file.
        made: format -> file made from it, in the same folder.
        path: the manifest.
    """
    manifest = read_manifest(path)
    for entry in manifest["models"].values():
        files = entry["files"]
        if kind not in files:
            continue
        if (path.parent / files[kind]["file"]).resolve() == source.resolve():
            _enter(files, {kind: source, **made})
            _write(path, manifest)
            return True
    return False


def check_entry(entry: ModelEntry, replace: bool, path: Path = MANIFEST) -> ModelEntry:
    """Complete an entry from the existing one, before anything is written.

    WeightsError if the name is taken and `replace` is off, or a value is missing.
    """
    before = read_manifest(path)["models"].get(entry.name)
    if before and not replace:
        raise WeightsError(f"{path} has a model {entry.name} already; add --replace to replace it")
    values = {key: getattr(entry, key) for key in ModelEntry.__slots__}
    for key, value in values.items():
        values[key] = (before or {}).get(key) if value is None else value
        if values[key] is None:
            raise WeightsError(f"a new model needs --{key.replace('_', '-')}")
    if values["architecture"] not in ARCHITECTURES:
        raise WeightsError(f"--architecture must be one of {', '.join(ARCHITECTURES)}")
    return ModelEntry(**values)


def enter_model(
    entry: ModelEntry,
    files: dict[str, Path],
    path: Path = MANIFEST,
    confusion: dict[str, Any] | None = None,
) -> Path:
    """Add a model to the manifest; return its card, which is written if it has none.

    `entry` comes from `check_entry`; `files` are format -> file in the manifest's folder;
    `confusion` is what `training.confusion` counted for these weights, if it did.
    """
    manifest = read_manifest(path)
    before = manifest["models"].get(entry.name, {})
    card = path.parent / before.get("card", f"{entry.name}.md")
    listed: dict[str, Any] = {}
    _enter(listed, files)
    values = {key: getattr(entry, key) for key in ModelEntry.__slots__}
    if not card.exists():
        names = ", ".join(f"`{file.name}`" for file in files.values())
        card.write_text(_CARD.format(**values, files=names), "utf-8")
    manifest["models"][entry.name] = {
        "architecture": entry.architecture,
        "files": listed,
        **{key: values[key] for key in ("spread_scale", "trained_on", "terms")},
        "card": card.name,
        **({"confusion": confusion} if confusion else {}),
    }
    _write(path, manifest)
    return card


def enter_spread_scale(name: str, scale: float | dict[str, float], path: Path = MANIFEST) -> None:
    """Replace the calibration of the age spread of a model of the manifest."""
    manifest = read_manifest(path)
    manifest["models"][name]["spread_scale"] = scale
    _write(path, manifest)


def _enter(files: dict[str, Any], made: dict[str, Path]) -> None:
    if "onnx" in made:
        files.pop("onnx_int8", None)
    for kind, file in made.items():
        files[kind] = {"file": file.name, "sha256": file_sha256(file)}


def _write(path: Path, manifest: dict[str, Any]) -> None:
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, text.encode())
