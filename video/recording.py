"""The sink that records the annotated pictures."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

from structures import FrameResult, Image
from video.h264 import ERRORS, H264File
from video.outputs import check_writable, sink_error
from video.threads import WriterThread

SUFFIXES = (".mp4", ".mov", ".mkv")
PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast",
    "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_QUEUE_DEPTH = 2  # pictures; a 4K one takes 25 MB, and 0.1 s to encode when closing
_PATIENCE_S = 60.0  # a long part that ends is copied once before the next can begin


@contextlib.contextmanager
def _sink_errors(path: Path) -> Iterator[None]:
    """Turn what FFmpeg and the disk raise into a SinkError that names `path`."""
    try:
        yield
    except ERRORS as error:
        raise sink_error(path, error) from error


class Recording:
    """A sink that records the annotated pictures.

    Pictures are encoded in a thread of their own. Their true times are kept, also where
    frames were dropped. A folder, a missing folder or one without permission is found
    out here, but the file is made (and one that exists replaced) with the first frame
    only; without frames there is none. When the picture size changes, a new part is
    begun: out.mp4, out-2.mp4 ... Odd sizes get their last column or row doubled, which
    H.264's half-size colour needs.

    Args:
        path: ends in .mp4, .mov or .mkv.
        fps: roughly; rules the encoder's look-ahead, not the timing.
        live: times are relative to the first frame, not to the start of the medium.
        preset: of x264: ultrafast .. placebo, quick and large to slow and small.
        crf: of x264: quality, 0 lossless .. 51 worst.

    Raises:
        SinkError: the file cannot be made there.
        ValueError: fps is not positive, x264 has no such preset or crf.
    """

    wants_picture = True

    def __init__(
        self,
        path: str | Path,
        fps: float,
        *,
        live: bool = False,
        preset: str = "veryfast",
        crf: int = 23,
    ) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps must be positive, got {fps}")
        if preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
        if not 0 <= crf <= 51:
            raise ValueError(f"crf must be 0..51, got {crf}")
        self._path = check_writable(path, SUFFIXES)
        self._fps = fps
        self._live = live
        self._options = {"preset": preset, "crf": str(crf)}
        self._part: H264File | None = None
        self._parts = 0
        self._closed = False
        self._writer: WriterThread[tuple[Image, FrameResult]] = WriterThread(
            self._encode, _QUEUE_DEPTH, patience_s=_PATIENCE_S, name="recording"
        )

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Queue one picture; waits while the encoder is behind. See `video.Sink.write`.

        Args:
            picture: (H, W, 3) uint8 BGR; must not be changed afterwards.
            result: its frame's time is used.
        """
        if picture is None:
            raise ValueError("a recording needs pictures, got None")
        with _sink_errors(self._path):
            self._writer.submit((picture, result))

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Nothing to do. See `video.Sink.refresh`."""

    def close(self) -> None:
        """Write what is queued and finish the file; may be called again.

        Where that takes too long or Ctrl-C interrupts it, the file stays as it is, and
        can be played: the writer may still be in it, and it takes one thread at a time.
        """
        if self._closed:
            return
        self._closed = True
        with _sink_errors(self._path):
            try:
                self._writer.close()
            finally:
                if self._part is not None and self._writer.stopped:
                    self._part.finish()

    def _encode(self, item: tuple[Image, FrameResult]) -> None:
        """Encode one picture; runs in the writer's thread."""
        picture, result = item
        with _sink_errors(self._path):
            self._part_for(picture, result).write(picture, result.frame.time_s, result.frame.epoch)

    def _part_for(self, picture: Image, result: FrameResult) -> H264File:
        """Return the part that takes `picture`: the one begun, or a new one."""
        size_wh = picture.shape[1], picture.shape[0]
        if self._part is None or self._part.size_wh != size_wh:
            if self._part is not None:
                self._part.finish()
            self._parts += 1
            name = self._path.stem + (f"-{self._parts}" if self._parts > 1 else "")
            path = check_writable(self._path.with_name(name + self._path.suffix))
            start_s = result.frame.time_s if self._live or self._parts > 1 else 0.0
            self._part = H264File(path, size_wh, self._fps, start_s, self._options)
        return self._part
