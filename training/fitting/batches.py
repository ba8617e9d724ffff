"""Batches of augmented chips, made ahead by other processes.

A batch's content depends only on the seed, the epoch and its place in the epoch: not on the
number of processes, nor on where a run was interrupted.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from threads import blocked_sigint

_T = TypeVar("_T")
Chips = NDArray[np.uint8]
_AHEAD = 3  # batches queued per process


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How batches are drawn and varied.

    Attributes:
        rows: `(M,)` int64, the chips to draw from.
        chances: `(M,)` float64 that add up to 1, the probability of each; None = every row
            at most once per epoch, in random order.
        batch: chips per batch.
        size: their side in pixels.
        strength: of the augmentation.
        seed: of all randomness.
        most_steps: most batches per epoch, 0 = as many as the rows fill.
    """

    rows: NDArray[np.int64]
    chances: NDArray[np.float64] | None
    batch: int
    size: int
    strength: float
    seed: int
    most_steps: int = 0

    @property
    def steps(self) -> int:
        """Batches per epoch; the last rows, too few for a batch, are left out."""
        full = len(self.rows) // self.batch
        return min(full, self.most_steps) if self.most_steps else full

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows of an epoch's batches, (steps, batch) int64."""
        rng = np.random.default_rng([self.seed, epoch])
        count = self.steps * self.batch
        if self.chances is None:
            order = rng.permutation(self.rows)[:count]
        else:
            order = rng.choice(self.rows, count, p=self.chances)
        return order.reshape(self.steps, self.batch)


class Loader:
    """Makes batches in its own processes, or in a thread if `workers` is 0; close it after use."""

    def __init__(self, images: Chips, plan: BatchPlan, workers: int) -> None:
        """Start the processes; they share one copy of `images`, `(N, S, S, 3)` uint8."""
        self._plan, self._workers = plan, workers
        self._closing = contextlib.ExitStack()
        self._pool: Executor
        if not workers:
            self._pool = ThreadPoolExecutor(1)
            self._images: Chips | None = images
            self._closing.callback(self._pool.shutdown, cancel_futures=True)
            return
        self._images = None
        memory = SharedMemory(create=True, size=images.nbytes)
        self._closing.callback(memory.unlink)
        self._closing.callback(memory.close)
        np.ndarray(images.shape, np.uint8, memory.buf)[:] = images
        # Not forked: a process that loaded TensorFlow must not be.
        self._pool = ProcessPoolExecutor(
            workers,
            multiprocessing.get_context("spawn"),
            _attach,
            (memory.name, images.shape),
        )
        self._closing.callback(self._pool.shutdown, cancel_futures=True)
        with blocked_sigint():
            for _ in range(workers):
                self._pool.submit(_nothing)

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[Chips, NDArray[np.int64]]]:
        """Yield the batches of an epoch from number `start` on, in their order.

        Yields:
            Chips `(B, size, size, 3)` uint8 RGB and their `(B,)` int64 rows.
        """
        order = self._plan.order(epoch)
        futures = (self._submit(order[i], epoch, i) for i in range(start, len(order)))
        ahead = 1 + _AHEAD * max(1, self._workers)
        for index, chips in enumerate(in_order(futures, ahead), start):
            yield chips, order[index]

    def close(self) -> None:
        """End the processes."""
        self._closing.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _submit(self, rows: NDArray[np.int64], epoch: int, index: int) -> Future[Chips]:
        plan = self._plan
        work = (rows, plan.size, plan.strength, (plan.seed, epoch, index))
        return self._pool.submit(_make, self._images, *work)


def in_order(futures: Iterator[Future[_T]], ahead: int) -> Iterator[_T]:
    """Yield the results of futures in their order; at most `ahead` of them are submitted."""
    waiting = collections.deque(itertools.islice(futures, ahead))
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(itertools.islice(futures, 1))
            yield result
    finally:
        for future in waiting:
            future.cancel()


def _nothing() -> None:
    pass


_shared: dict[str, Any] = {}  # in a worker process: the chips, and the memory that holds them


def _attach(name: str, shape: tuple[int, ...]) -> None:
    """Set up a worker process."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked
    cv2.setNumThreads(1)
    memory = SharedMemory(name)
    _shared["memory"] = memory
    _shared["images"] = np.ndarray(shape, np.uint8, memory.buf)


def _make(
    images: Chips | None,
    rows: NDArray[np.int64],
    size: int,
    strength: float,
    key: tuple[int, int, int],
) -> Chips:
    source = _shared["images"] if images is None else images
    return augment(source[rows], size, np.random.default_rng(key), strength)


def augment(
    images: NDArray[np.uint8], size: int, rng: np.random.Generator, strength: float = 1.0
) -> NDArray[np.uint8]:
    """Make one random variant of every chip: pose, light, colour, resolution, noise.

    Similarity, flip and resize are one warp; light and colour are one matrix.

    Args:
        images: `(N, S, S, 3)` uint8, RGB; not changed.
        size: side of the result, `(N, size, size, 3)` uint8 RGB, in pixels.
        rng: source of all randomness.
        strength: multiplies spreads and probabilities (not the flip's); 0 varies only the flip.
    """
    out = np.empty((len(images), size, size, 3), np.uint8)
    for i, image in enumerate(images):
        warp = _random_warp(image.shape[0], size, rng, strength)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        chip = cv2.warpAffine(image, warp, (size, size), None, flags, cv2.BORDER_REFLECT_101)
        chip = cv2.transform(chip, _random_colour(rng, strength))
        if rng.random() < 0.3 * strength:
            small = int(np.exp(rng.uniform(np.log(size * 0.3), np.log(size))))
            chip = cv2.resize(chip, (small, small), interpolation=cv2.INTER_AREA)
            chip = cv2.resize(chip, (size, size), interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.4 * strength:
            noise = rng.standard_normal(chip.shape, np.float32) * rng.uniform(1.0, 10.0)
            chip = np.clip(chip + noise, 0, 255).astype(np.uint8)
        if rng.random() < 0.3 * strength:
            _erase(chip, rng)
        out[i] = chip
    return out


def _random_warp(
    side: int, size: int, rng: np.random.Generator, strength: float
) -> NDArray[np.float64]:
    """Draw a map `(2, 3)` float64 from pixels of the result to pixels of the chip."""
    turn, zoom, aspect, *shift = rng.standard_normal(5) * strength
    angle = np.deg2rad(6.0 * turn)
    scale = side / size * np.exp(0.09 * zoom)
    stretch = np.exp(0.02 * aspect * np.array([1.0, -1.0]))
    if rng.random() < 0.5:
        stretch[0] = -stretch[0]
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) * stretch * scale
    centre = side / 2 - 0.5 + 0.035 * side * np.array(shift)
    return np.column_stack([linear, centre - linear @ np.full(2, size / 2 - 0.5)])


def _random_colour(rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    """Draw a colour matrix `(3, 4)` float32 on (R, G, B, 1): light, contrast, tint, grey."""
    bright, contrast, *tint = rng.standard_normal(5) * strength
    slope = np.exp(0.15 * contrast)
    gain = np.exp(0.2 * bright) * np.exp(0.05 * np.array(tint))
    mix = np.eye(3)
    if rng.random() < 0.08 * strength:
        mix = np.tile([0.299, 0.587, 0.114], (3, 1))
    middle = 127.5 * (1 - slope)
    return np.column_stack([gain[:, None] * slope * mix, gain * middle]).astype(np.float32)


def _erase(chip: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Fill a random rectangle of 4 to 20 % of the area with one colour, in place."""
    side = chip.shape[0]
    area = rng.uniform(0.04, 0.2) * side * side
    height = int(np.clip(np.sqrt(area * np.exp(rng.uniform(-0.7, 0.7))), 1, side))
    width = int(np.clip(area / height, 1, side))
    y, x = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    chip[y : y + height, x : x + width] = rng.integers(0, 256, 3)
