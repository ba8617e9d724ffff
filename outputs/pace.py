"""The pace of films: when a frame is due."""

import time

from structures import FrameResult, Image

_LATE_S = 0.25  # a longer delay is not made up for


class Pacer:
    """Computes how long to wait so that a file plays at its true speed.

    A short delay is made up for; after a long one, a pause or a jump, play resumes from there.

    Attributes:
        speed: 2 = twice as fast; call `restart` after a change.
    """

    def __init__(self) -> None:
        self.speed = 1.0
        self._offset_s: float | None = None
        self._last_s = 0.0

    def wait_s(self, time_s: float, now_s: float) -> float:
        """Return the seconds until the frame of media time `time_s` is due, 0 if it is late."""
        time_s /= self.speed
        late_s = 0.0 if self._offset_s is None else now_s - time_s - self._offset_s
        if self._offset_s is None or late_s > _LATE_S or time_s < self._last_s:
            self._offset_s = now_s - time_s
            late_s = 0.0
        self._last_s = time_s
        return max(0.0, -late_s)

    def restart(self) -> None:
        """Make the next frame due at once."""
        self._offset_s = None


class Metronome:
    """A sink that only waits until the frame is due, for films that no window paces."""

    wants_picture = False
    closed = False

    def __init__(self) -> None:
        self._pacers: dict[str, Pacer] = {}

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Wait until a frame of stored media is due. See `outputs.Sink.write`."""
        if result.frame.arrived_s is not None:
            return
        pacer = self._pacers.setdefault(result.camera, Pacer())
        time.sleep(pacer.wait_s(result.frame.time_s, time.monotonic()))

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Nothing to do. See `outputs.Sink.refresh`."""

    def close(self) -> None:
        """Nothing to do."""
