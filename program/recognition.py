"""The people remembered in a run, and the network that tells them apart."""

import time
from collections.abc import Iterator
from concurrent.futures import Future

import numpy as np

from estimators.embedders import Embedder
from structures import Float32, Image
from threads import DetectorPool
from tracking.memory import PeopleMemory
from tracking.recall import Recall


class Recognition:
    """What the channels of a run share with `--remember`; one thread computes all looks.

    Args:
        keep_s: seconds for which a person is remembered.
        embedder: compares faces.
    """

    def __init__(self, keep_s: float, embedder: Embedder) -> None:
        self.memory = PeopleMemory(keep_s)
        self._chip_px = embedder.input_size
        self._pool = DetectorPool(lambda: embedder, 1)

    def recall(self, ids: Iterator[int], live: bool) -> Recall:
        """Make the part of one channel; `ids` are those of its tracker.

        With a live source people are forgotten by the clock, else by the time of the frames.
        """
        if live:
            self.memory.clock = time.monotonic
        return Recall(self.memory, ids, self._describe, self._chip_px, live)

    def _describe(self, chips: Image) -> "Future[Float32]":
        def describe(embedder: Embedder) -> Float32:
            vectors = embedder.embed(chips)["embedding"]
            unit: Float32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            return unit

        return self._pool.submit(describe)

    def close(self) -> None:
        """Forget everybody and end the thread; may be called again."""
        self._pool.close()
        self.memory.clear()
