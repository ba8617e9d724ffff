"""Holds results back for a second, until hindsight knows what to hide in them: `--blur strict`."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

from drawing.hiding import STRICT, hide_faces
from structures import SLACK_S, Detections, FrameResult
from tracking.hindsight import SPAN_S, Hindsight

MOST_BYTES = 512 * 2**20  # of images that are held: 21 of 4K, 86 of 1080p


class Delay:
    """The results of one source that wait for hindsight; none leaves it with a face to be seen.

    A result waits until the source has gone on for a second, a live one at most for a second of the
    clock; less where a second of images takes more than `MOST_BYTES`. What ends with an epoch
    of a film need not wait, as nothing that follows has to do with it.

    Args:
        sure: `starting_score` of the detector.
        is_live: of the source.
        clock: seconds.
        most_bytes: of images.
    """

    def __init__(
        self,
        sure: float,
        is_live: bool,
        clock: Callable[[], float] = time.monotonic,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._hindsight, self._is_live = Hindsight(sure), is_live
        self._clock, self._most_bytes = clock, most_bytes
        self._held: deque[tuple[FrameResult, float]] = deque()
        self._bytes = 0

    @property
    def holds_any(self) -> bool:
        """Whether a result waits."""
        return bool(self._held)

    def put(self, result: FrameResult, found: Detections) -> None:
        """Take a result whose image shows faces, and all that was found in it."""
        self._hindsight.add(result.frame, found)
        self._held.append((result, self._clock()))
        self._bytes += result.frame.image.nbytes

    def due(self, everything: bool = False) -> Iterator[FrameResult]:
        """Yield the results whose time has come, or `everything`, with faces hidden; in order."""
        while self._held and (everything or self._is_due()):
            result, put_s = self._held.popleft()
            self._bytes -= result.frame.image.nbytes
            places = self._hindsight.pop()
            frame = hide_faces(result.frame, places, STRICT)
            told = replace(result, frame=frame, places=places, hidden=True, unlabelled=True)
            yield replace(told, held_s=self._clock() - put_s)

    def _is_due(self) -> bool:
        (oldest, put_s), newest = self._held[0], self._held[-1][0].frame
        if (
            self._bytes > self._most_bytes
            or newest.time_s - oldest.frame.time_s >= SPAN_S - SLACK_S
        ):
            return True
        if self._is_live:
            return self._clock() - put_s >= SPAN_S
        return newest.epoch != oldest.frame.epoch

    def clear(self) -> None:
        """Forget all results."""
        self._held.clear()
        self._hindsight.clear()
        self._bytes = 0
