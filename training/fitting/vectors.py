"""Embeddings of a labelled set on disk: TFRecord files, one `tf.train.Example` per face.

DIR/NAME.embeddings/ holds SPLIT-00000-of-00018.tfrecord ... and record.json, which describes
from what and by what they were made. Features of an example:

    file, group             bytes
    age_min, age_max        float, years; absent = unknown
    gender                  int64, 0 = male, 1 = female; absent = unknown
    ethnicity               int64, index into `structures.ETHNICITIES`; absent = unknown
    embedding               float, V x W: of the chip, of its mirror image, of random variants
    features                bytes, V x W float16, little endian; only if there are any

Needs TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.tensorflow_engine import start_tensorflow
from errors import DatasetError
from training.chips import Chips, join
from training.result_files import write_tfrecord

Half = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Vectors:
    """The embeddings of a set's faces.

    Attributes:
        chips: the labels; their images are empty, (N, 0, 0, 3).
        views: name of a vector -> (V, N, W) float16; view 0 is the chip itself, 1 its mirror
            image, the others random variants.
    """

    chips: Chips
    views: dict[str, Half]


def folder_of(out: Path, name: str) -> Path:
    """Return the folder of a set's embeddings."""
    return out / f"{name}.embeddings"


def part_paths(folder: Path, split: str, count: int) -> list[Path]:
    """Return the files of a split."""
    return [folder / f"{split}-{i:05}-of-{count:05}.tfrecord" for i in range(count)]


def write_part(path: Path, chips: Chips, views: Mapping[str, Half]) -> None:
    """Write one TFRecord file, whole or not at all; SinkError if it cannot be written."""
    write_tfrecord(path, (_example(chips, views, i) for i in range(len(chips))))


def _example(chips: Chips, views: Mapping[str, Half], i: int) -> bytes:
    """Return face `i` as a serialized `tf.train.Example` with the known labels."""
    train = start_tensorflow().train

    def text(value: bytes) -> Any:
        return train.Feature(bytes_list=train.BytesList(value=[value]))

    def number(value: int) -> Any:
        return train.Feature(int64_list=train.Int64List(value=[value]))

    def numbers(values: Any) -> Any:
        return train.Feature(float_list=train.FloatList(value=values))

    found = {
        "file": text(str(chips.files[i]).encode()),
        "group": text(str(chips.groups[i]).encode()),
    }
    if np.isfinite(chips.age_low[i]):
        found |= {"age_min": numbers([chips.age_low[i]]), "age_max": numbers([chips.age_high[i]])}
    if np.isfinite(chips.female[i]):
        found["gender"] = number(int(chips.female[i]))
    if chips.race[i] >= 0:
        found["ethnicity"] = number(int(chips.race[i]))
    found["embedding"] = numbers(views["embedding"][:, i].astype(np.float32).ravel())
    if "features" in views:
        found["features"] = text(views["features"][:, i].astype("<f2").tobytes())
    return train.Example(features=train.Features(feature=found)).SerializeToString()


def read_record(out: Path, name: str) -> dict[str, Any]:
    """Read the record of a set's embeddings; DatasetError if there is none, or a damaged one."""
    path = folder_of(out, name) / "record.json"
    if not path.is_file():
        raise DatasetError(
            f"no embeddings of {name} in {out}; make them with: "
            f"python -m training.embeddings {name} --data DIR --out {out}"
        )
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if not {"widths", "views", "parts"} <= set(record):
            raise ValueError
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is damaged; delete the folder and make it again") from error
    return record


def read_vectors(out: Path, name: str, split: str, wanted: str = "embedding") -> Vectors:
    """Read one split of a set's embeddings, written to `out`, into memory.

    `wanted` is "embedding" or "features"; DatasetError if they are missing, incomplete or
    damaged.
    """
    record = read_record(out, name)
    count = record["parts"].get(split)
    width = record["widths"].get(wanted)
    if count is None:
        raise DatasetError(
            f"{name} in {out} has no split {split}; has {', '.join(record['parts'])}"
        )
    if width is None:
        raise DatasetError(f"the embeddings of {name} in {out} have no {wanted}")
    parts = [
        _read_part(path, wanted, record["views"], width)
        for path in part_paths(folder_of(out, name), split, count)
    ]
    views = np.concatenate([vectors for _, vectors in parts], axis=1)
    return Vectors(join([chips for chips, _ in parts]), {wanted: views})


def _read_part(path: Path, wanted: str, views: int, width: int) -> tuple[Chips, Half]:
    """Return labels and vectors (V, N, W) of one file."""
    try:
        columns = _columns(path, wanted, views * width)
        vectors = columns[wanted]
        if wanted == "features":
            vectors = np.frombuffer(b"".join(vectors), "<f2")
        by_face = vectors.reshape(-1, views, width).astype(np.float16)
    except (ValueError, TypeError) as error:
        raise DatasetError(
            f"{path} is missing or damaged ({error}); delete it and run training.embeddings again"
        ) from error
    female = columns["gender"].astype(np.float32)
    chips = Chips(
        np.zeros((len(by_face), 0, 0, 3), np.uint8),
        columns["age_min"],
        columns["age_max"],
        np.where(female < 0, np.float32(np.nan), female),
        columns["ethnicity"],
        np.array([name.decode() for name in columns["file"]], np.str_),
        np.array([name.decode() for name in columns["group"]], np.str_),
    )
    return chips, by_face.transpose(1, 0, 2)


def _columns(path: Path, wanted: str, length: int) -> dict[str, NDArray[Any]]:
    """Return the features of a file's examples, each (N, ...); ValueError if it is damaged."""
    tf = start_tensorflow()
    io, nan = tf.io, float("nan")
    kinds = {
        "file": io.FixedLenFeature((), tf.string, ""),
        "group": io.FixedLenFeature((), tf.string, ""),
        "age_min": io.FixedLenFeature((), tf.float32, nan),
        "age_max": io.FixedLenFeature((), tf.float32, nan),
        "gender": io.FixedLenFeature((), tf.int64, -1),
        "ethnicity": io.FixedLenFeature((), tf.int64, -1),
        "features": io.FixedLenFeature((), tf.string),
        "embedding": io.FixedLenFeature((length,), tf.float32),
    }
    del kinds["embedding" if wanted == "features" else "features"]
    try:
        rows = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
        if not rows:
            raise ValueError("no faces")
        return {key: value.numpy() for key, value in io.parse_example(rows, kinds).items()}
    except tf.errors.OpError as error:
        raise ValueError(str(error.message).partition("\n")[0]) from error
