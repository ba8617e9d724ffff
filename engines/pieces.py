"""What the engines share: outputs by name, batches cut into pieces, and the first try on a GPU."""

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
    """Cut a batch so that few lengths ever occur: powers of two up to `largest`.

    GPUs choose and load their kernels anew for each length.

    Args:
        rows: (N, ...), not changed.
        largest: a power of two.

    Yields:
        A piece, filled up with zeros, and how many of its rows are those of `rows`.
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
    """Join the outputs of successive pieces, of each the first so many rows; see `pieces`."""
    first = parts[0][0]
    return {name: np.concatenate([part[name][:rows] for part, rows in parts]) for name in first}


def chip_side(shapes: Sequence[tuple[int | None, ...]], path: Path) -> int:
    """The side of the chips that a network takes.

    Args:
        shapes: of its inputs; None = any size.
        path: its file, for the message.

    Raises:
        WeightsError: it does not take (B, S, S, 3), B free and S fixed.
    """
    match shapes:
        case [(None, int(height), int(width), 3)] if height == width:
            return height
    got = ", ".join(str(shape).replace("None", "any") for shape in shapes)
    raise WeightsError(f"{path}: want one input of (any, S, S, 3), S a number, got {got or 'none'}")


def try_gpu(engine: str, call: Callable[[], object]) -> None:
    """Run a network for the first time on a GPU: only there some missing libraries show.

    Raises:
        EngineError: it failed.
    """
    try:
        call()
    except Exception as error:  # each engine has exceptions of its own
        log.info("%s on the GPU: %s", engine, error)
        raise unusable_gpu(engine) from error


def unusable_gpu(engine: str) -> EngineError:
    """The error that says in one line that an engine cannot use the GPU, with the remedy."""
    return EngineError(
        f"engine {engine} cannot use the GPU: a library of CUDA or the driver does not fit; "
        f"reinstall with: {remedy(Way(engine, 'gpu'))}, or use --device cpu"
    )
