"""Shared by the engines: outputs by name, batches in pieces, and the first run on a GPU."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from engines.choose import Way, remedy
from errors import EngineError, WeightsError
from structures import Float32, Image

log = logging.getLogger(__name__)
Outputs = dict[str, Float32]
Pending = Callable[[], Outputs]
LARGEST_PIECE = 512


def pieces(rows: Image, largest: int = LARGEST_PIECE) -> Iterator[tuple[Image, int]]:
    """Cut a batch (N, ...) into few different lengths: powers of two up to `largest`.

    GPUs choose and load their kernels again for each length.

    Yields:
        A piece, padded with zeros, and how many of its rows are those of `rows`.
    """
    for start in range(0, len(rows), largest):
        piece = rows[start : start + largest]
        length = 1 << (len(piece) - 1).bit_length()
        if length == len(piece):
            yield piece, length
            continue
        padded = np.zeros((length, *rows.shape[1:]), rows.dtype)
        padded[: len(piece)] = piece
        yield padded, len(piece)


def join(parts: Sequence[tuple[Outputs, int]]) -> Outputs:
    """Join the outputs of successive pieces, without their padding; see `pieces`."""
    first = parts[0][0]
    return {name: np.concatenate([part[name][:rows] for part, rows in parts]) for name in first}


def chip_side(shapes: Sequence[tuple[int | None, ...]], path: Path) -> int:
    """Return the side of the chips that a network of these input shapes takes (None = any).

    Raises:
        WeightsError: it does not take (B, S, S, 3), B free and S fixed; names `path`.
    """
    match shapes:
        case [(None, int(height), int(width), 3)] if height == width:
            return height
    got = ", ".join(str(shape).replace("None", "any") for shape in shapes)
    raise WeightsError(f"{path}: want one input of (any, S, S, 3), S a number, got {got or 'none'}")


def try_gpu(engine: str, call: Callable[[], object]) -> None:
    """Run a network once on a GPU, where missing libraries show; EngineError if it fails."""
    try:
        call()
    except Exception as error:  # each engine has its own exceptions
        log.info("%s on the GPU: %s", engine, error)
        raise unusable_gpu(engine) from error


def unusable_gpu(engine: str) -> EngineError:
    """The error that an engine cannot use the GPU, in one line with the remedy."""
    return EngineError(
        f"engine {engine} cannot use the GPU: a library of CUDA or the driver does not fit; "
        f"reinstall with: {remedy(Way(engine, 'gpu'))}, or use --device cpu"
    )
