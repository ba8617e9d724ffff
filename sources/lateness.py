"""Tells late pictures from fresh ones by the sender's clock, and makes up for them.

After a hold-up on the way, what was held back arrives all at once: each picture has just
left the decoder, and yet shows the past. So it is, too, where decoding takes longer than
the camera takes for a picture: packets pile up in front of the decoder.
"""

import math
from collections import deque

from av.video.codeccontext import VideoCodecContext

WINDOW_S = 5.0  # a connection that is silent for two seconds is given up: backlogs are shorter
JITTER_S = 0.2  # what networks and decoders make of an even pace
_LEAP_S = 10.0


class Lateness:
    """Compares the clock of one connection's sender with ours, picture by picture.

    The smallest difference within the last five seconds of the sender's time stands for
    "no delay". So a sender's clock that drifts, or leaps while its pictures go on
    coming evenly, is forgotten after that time.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()  # sender's time, difference

    def of(self, media_s: float | None, arrived_s: float) -> float:
        """Return by how many seconds a picture is late; 0 within what is usual.

        Args:
            media_s: the sender's time stamp; None where it gives none.
            arrived_s: `time.monotonic()` when the picture left the decoder.
        """
        if media_s is None:
            return 0.0
        if self._seen and not -1 < media_s - self._seen[-1][0] < _LEAP_S:
            self._seen.clear()
        self._seen.append((media_s, arrived_s - media_s))
        while media_s - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
        late_s = self._seen[-1][1] - min(difference for _, difference in self._seen)
        return late_s if late_s > JITTER_S else 0.0


class CatchUp:
    """Leaves out work on pictures that are late, until the newest are being decoded again.

    Late pictures are decoded, as the next ones need them, but not converted to BGR, which
    takes about as long; one in 0.3 s excepted, for there should be something to see. Where
    that is not enough the decoder is told to leave out all but key frames until it has caught
    up; then the picture stands still up to the next key frame.
    """

    SHOW_EVERY_S = 0.3
    KEY_FRAMES_ONLY_S = 1.0  # late

    def __init__(self, decoder: VideoCodecContext) -> None:
        self._decoder = decoder
        self._lateness = Lateness()
        self._shown_s = -math.inf

    def leaves_out(self, media_s: float | None, is_key: bool, now_s: float) -> bool:
        """Return whether a picture that has left the decoder is not worth converting.

        Args:
            media_s: the sender's time stamp; None where it gives none.
            is_key: whether it can be decoded without others.
            now_s: `time.monotonic()`.
        """
        late_s = self._lateness.of(media_s, now_s)
        if late_s > self.KEY_FRAMES_ONLY_S:
            self._decoder.skip_frame = "NONKEY"
        elif late_s == 0 and is_key:  # what comes next refers to pictures that were decoded
            self._decoder.skip_frame = "DEFAULT"
        if late_s > 0 and now_s - self._shown_s < self.SHOW_EVERY_S:
            return True
        self._shown_s = now_s
        return False
