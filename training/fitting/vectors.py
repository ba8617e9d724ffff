"""Embeddings of a labelled set on disk: TFRecord files, one `tf.train.Example` a face.

DIR/NAME.embeddings/ holds SPLIT-00000-of-00018.tfrecord ... and record.json, which says of
what and by what they were made. Features of an example:

    file, group             bytes
    age_min, age_max        float, years; absent = unknown
    gender                  int64, 0 = male, 1 = female; absent = unknown
    ethnicity               int64, index into `structures.ETHNICITIES`; absent = unknown
    embedding               float, V x W: of the chip, of its mirror image, of random variants
    features                bytes, V x W float16, little endian; only where there are any

Needs TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.tensorflow_engine import start_tensorflow
from errors import DatasetError
from training.chips import Chips, join
from training.result_files import writing

Half = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Vectors:
    """What embedding networks say of a set's faces.

    Attributes:
        chips: the labels; their pictures are empty, (N, 0, 0, 3).
        views: name of a vector -> (V, N, W) float16; view 0 is the chip as it is, 1 its
            mirror image, the others random variants.
    """

    chips: Chips
    views: dict[str, Half]


def folder_of(out: Path, name: str) -> Path:
    """Where the embeddings of a set lie."""
    return out / f"{name}.embeddings"


def write_part(path: Path, chips: Chips, views: Mapping[str, Half]) -> None:
    """Write one TFRecord file; it appears when it is complete.

    Raises:
        SinkError: it cannot be written.
    """
    tf = start_tensorflow()
    try:
        with writing(path) as part, tf.io.TFRecordWriter(str(part)) as file:
            for i in range(len(chips)):
                example = tf.train.Example(
                    features=tf.train.Features(feature=_of_face(chips, views, i))
                )
                file.write(example.SerializeToString())
    except tf.errors.OpError as error:
        raise DatasetError(f"cannot write {path}: {error.message}") from error


def _of_face(chips: Chips, views: Mapping[str, Half], i: int) -> dict[str, Any]:
    """The features of face `i`, labels only where they are known."""
    tf = start_tensorflow()

    def text(value: str | bytes) -> Any:
        data = value if isinstance(value, bytes) else value.encode()
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))

    def number(value: int) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    def numbers(values: Any) -> Any:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    found = {"file": text(str(chips.files[i])), "group": text(str(chips.groups[i]))}
    if np.isfinite(chips.age_low[i]):
        found |= {"age_min": numbers([chips.age_low[i]]), "age_max": numbers([chips.age_high[i]])}
    if np.isfinite(chips.female[i]):
        found["gender"] = number(int(chips.female[i]))
    if chips.race[i] >= 0:
        found["ethnicity"] = number(int(chips.race[i]))
    found["embedding"] = numbers(views["embedding"][:, i].astype(np.float32).ravel())
    if "features" in views:
        found["features"] = text(views["features"][:, i].astype("<f2").tobytes())
    return found


def read_record(out: Path, name: str) -> dict[str, Any]:
    """What `training.embeddings` wrote about a set's embeddings.

    Raises:
        DatasetError: there are none, or the record is damaged.
    """
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
    """Read one split of a set's embeddings into memory.

    Args:
        out: folder that `training.embeddings` wrote to.
        name: of the set.
        split: of its table.
        wanted: "embedding" or "features".

    Raises:
        DatasetError: missing, incomplete or damaged.
    """
    record = read_record(out, name)
    count = record["parts"].get(split)
    width = record["widths"].get(wanted)
    if count is None:
        raise DatasetError(
            f"{name} in {out} has no split {split}; has {', '.join(record['parts'])}"
        )
    if width is None:
        raise DatasetError(f"the embeddings of {name} in {out} come without {wanted}")
    parts = [
        _read_part(path, wanted, record["views"], width)
        for path in part_paths(folder_of(out, name), split, count)
    ]
    views = np.concatenate([vectors for _, vectors in parts], axis=1)
    return Vectors(join([chips for chips, _ in parts]), {wanted: views})


def part_paths(folder: Path, split: str, count: int) -> list[Path]:
    """The files of a split."""
    return [folder / f"{split}-{i:05}-of-{count:05}.tfrecord" for i in range(count)]


def _read_part(path: Path, wanted: str, views: int, width: int) -> tuple[Chips, Half]:
    """Labels, and vectors (V, N, W), of one file."""
    try:
        examples = list(_examples(path))
        rows = [_vector(example, wanted).reshape(views, width) for example in examples]
        if not rows:
            raise ValueError("no faces")
        return _labels(examples), np.stack(rows, axis=1)
    except (ValueError, LookupError) as error:
        raise DatasetError(
            f"{path} is missing or damaged ({error}); delete it and run training.embeddings again"
        ) from error


def _examples(path: Path) -> Iterator[Any]:
    tf = start_tensorflow()
    try:
        for data in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield tf.train.Example.FromString(data).features.feature
    except tf.errors.OpError as error:
        raise ValueError(str(error.message).partition("\n")[0]) from error


def _vector(example: Any, wanted: str) -> Half:
    if wanted == "features":
        return np.frombuffer(example[wanted].bytes_list.value[0], "<f2")
    return np.asarray(example[wanted].float_list.value, np.float16)


def _labels(examples: list[Any]) -> Chips:
    def first(name: str, kind: str, missing: Any) -> list[Any]:
        return [
            getattr(each[name], kind).value[0] if name in each else missing for each in examples
        ]

    nan = float("nan")
    return Chips(
        np.zeros((len(examples), 0, 0, 3), np.uint8),
        np.array(first("age_min", "float_list", nan), np.float32),
        np.array(first("age_max", "float_list", nan), np.float32),
        np.array(first("gender", "int64_list", nan), np.float32),
        np.array(first("ethnicity", "int64_list", -1), np.int64),
        np.array([each.decode() for each in first("file", "bytes_list", b"")], np.str_),
        np.array([each.decode() for each in first("group", "bytes_list", b"")], np.str_),
    )
