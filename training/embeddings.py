"""Write the embeddings of a prepared set's faces to TFRecord files.

    python -m training.embeddings utkface --data DIR --out DIR
    python -m training.embeddings fairface --data DIR --out DIR --embedder dlib --views 1

DIR of --data holds NAME.tar and NAME.csv, as `python -m training.prepare` makes them. The
files go to OUT/NAME.embeddings/; `training.fitting.vectors` describes them. Rerun the command
to resume an interrupted run. Embeddings identify people: protect the files like the photographs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from errors import DatasetError, StreamError
from estimators.embedders import SCALINGS, Embedder, make_embedder
from estimators.weights import file_sha256
from program.options import OneLineParser, number
from training.chips import Chips, load_chips, shrink
from training.fitting.batches import augment
from training.fitting.vectors import Half, folder_of, part_paths, read_record, write_part
from training.labels import read_table
from training.result_files import write_json

PART_FACES = 1024
_BATCH = 16
_STRENGTH = 0.7  # of the augmentation that makes variants
_INTERRUPTED = 130


def write_embeddings(
    data: Path,
    name: str,
    out: Path,
    embedder: Embedder,
    views: int = 2,
    splits: Sequence[str] = (),
    part_faces: int = PART_FACES,
) -> int:
    """Write the missing embeddings of a set; return the number of faces embedded by this run.

    Args:
        data: folder with NAME.tar and NAME.csv.
        name: of the set.
        out: OUT/NAME.embeddings/ is made there.
        embedder: makes the embeddings.
        views: 1 = of the chips, 2 = also of their mirror images, more = also of variants.
        splits: which; empty = all in the table.
        part_faces: faces per file.

    Raises:
        DatasetError: the set is missing or damaged, or OUT holds other embeddings of it.
        SinkError: a file cannot be written.
    """
    table = data / f"{name}.csv"
    published = sorted({face.split for face in read_table(table)})
    if unknown := sorted(set(splits) - set(published)):
        raise DatasetError(
            f"{name} in {data} has no split {unknown[0]}; has {', '.join(published)}"
        )
    grey = np.full((1, embedder.input_size, embedder.input_size, 3), 128, np.uint8)
    settings = {
        "embedder": embedder.name,
        "widths": {key: value.shape[1] for key, value in embedder.embed(grey).items()},
        "views": views,
        "part_faces": part_faces,
        "table_sha256": file_sha256(table),
        "chips_sha256": file_sha256(data / f"{name}.tar"),
    }
    folder = folder_of(out, name)
    record = _begun(out, name, settings)
    done = 0
    for split in splits or published:
        chips = load_chips(data, name, split)
        starts = range(0, len(chips), part_faces)
        parts = [np.arange(start, min(start + part_faces, len(chips))) for start in starts]
        paths = part_paths(folder, split, len(parts))
        todo = [(path, rows) for path, rows in zip(paths, parts, strict=True) if not path.is_file()]
        done += _write_parts(todo, f"{name} {split}", chips, embedder, views)
        record["parts"][split] = len(parts)
        write_json(folder / "record.json", record)
    return done


def _begun(out: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the record of an earlier run with these settings, or write a new one."""
    path = folder_of(out, name) / "record.json"
    if not path.is_file():
        record = {**settings, "parts": {}}
        write_json(path, record)
        return record
    before = read_record(out, name)
    for key, value in settings.items():
        if before.get(key) != value:
            raise DatasetError(
                f"{path.parent} holds embeddings of another {key} ({before.get(key)}, not "
                f"{value}); delete it or choose another --out"
            )
    return before


def _write_parts(
    todo: Sequence[tuple[Path, NDArray[np.int64]]],
    title: str,
    chips: Chips,
    embedder: Embedder,
    views: int,
) -> int:
    """Write the missing files of a split, each with its rows; return the number of faces."""
    faces = sum(len(rows) for _, rows in todo)
    with tqdm(
        total=len(chips), initial=len(chips) - faces, desc=title, unit="face", disable=None
    ) as bar:
        for path, rows in todo:
            part = chips.take(rows)
            write_part(path, part, _embed(embedder, part.images, views, int(rows[0]), bar))
    return faces


def _embed(
    embedder: Embedder, images: NDArray[np.uint8], views: int, first: int, bar: Any
) -> dict[str, Half]:
    """Return name -> (V, N, W) float16 for (N, S, S, 3) uint8 RGB; see `Vectors.views`."""
    found: dict[str, list[list[Half]]] = {}
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        for view in range(views):
            # Its own seed: variants do not depend on where a run was interrupted.
            rng = np.random.default_rng([view, first + start])
            chips = _variant(batch, view, embedder.input_size, rng)
            for key, vectors in embedder.embed(chips).items():
                of_view = found.setdefault(key, [[] for _ in range(views)])
                of_view[view].append(vectors.astype(np.float16))
        bar.update(len(batch))
    return {key: np.stack([np.concatenate(v) for v in every]) for key, every in found.items()}


def _variant(
    images: NDArray[np.uint8], view: int, size: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the chips unchanged (view 0), mirrored (1) or varied, `size` pixels wide."""
    if view == 0:
        return shrink(images, size)
    if view == 1:
        return np.ascontiguousarray(shrink(images, size)[:, :, ::-1])
    return augment(images, size, rng, _STRENGTH)


def main(argv: Sequence[str] | None = None, make: Callable[..., Embedder] = make_embedder) -> int:
    """Run the command; return 0, 2 after a one-line error, or 130 after Ctrl-C."""
    parser = OneLineParser(
        prog="python -m training.embeddings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help="of the set")
    add("--data", type=Path, required=True, help="folder with NAME.tar and NAME.csv")
    add("--out", type=Path, required=True, help="folder to make NAME.embeddings/ in")
    add("--embedder", default="facenet", metavar="NAME|FILE",
        help="facenet, dlib, or your own network: .onnx, .pb or .tflite (default: %(default)s)"
    )  # fmt: skip
    add("--scaling", choices=SCALINGS, default="fixed",
        help="of pixels, for a network of your own: fixed is (x - 127.5) / 128, prewhiten by "
        "each chip's own mean and deviation, unit 0..1 (default: %(default)s)")  # fmt: skip
    add("--views", type=number(int, 1, 16), default=2,
        help="1 = the chips, 2 = also mirrored, more = also random variants (default: 2)"
    )  # fmt: skip
    add("--splits", nargs="+", default=(), help="default: all")
    options = parser.parse_args(argv)
    try:
        embedder = make(options.embedder, scaling=options.scaling)
        done = write_embeddings(
            options.data, options.name, options.out, embedder, options.views, options.splits
        )
    except StreamError as error:
        print(f"embeddings: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("embeddings: stopped; rerun the command to resume", file=sys.stderr)
        return _INTERRUPTED
    print(f"{folder_of(options.out, options.name)}: {done} faces embedded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
