"""Network streams: the newest frame of a camera, bounded waits, named failures.

A camera that is lost raises `SourceLostError`, never an "end"; a reconnect would begin
a new epoch of `Frame`.
"""

import logging
import threading
import time
from collections.abc import Generator

import av

from errors import SourceError, SourceLostError
from structures import Frame
from video.addresses import escape_user
from video.decoding import Video, decode, no_answer, open_video
from video.feed import Feed, lost
from video.files import play
from video.threads import Newest, call_with_deadline

log = logging.getLogger(__name__)

OPEN_S = 4.5
READ_S = 2.0
FILM_READ_S = 10.0
SILENCE_S = READ_S + 1.5
FIRST_PICTURE_S = 20.0  # some cameras send a key frame only every ten seconds

# Frames come 40 ms old with these; the defaults buffer and analyse for seconds.
_LOW_LATENCY = {
    "rtsp_transport": "tcp",
    "fflags": "nobuffer",
    "flags": "low_delay",
    "analyzeduration": "500000",
    "probesize": "65536",
    "allowed_media_types": "video",
}


def open_stream(address: str, name: str) -> Feed:
    """Open a network address: the newest frame of a live stream, or all of a film.

    An http(s) address whose container states a duration is a film and is read like a
    file; everything else is live.

    Args:
        address: URL, as FFmpeg understands it.
        name: what to call it; without secrets.

    Raises:
        SourceError: wrong password, unknown path or host, nothing listening, no answer.
    """
    is_web = address.lower().startswith(("http://", "https://"))
    # `nobuffer` throws away the frames that were looked at while opening: not for films,
    # which may also be slow for a while without being lost.
    options, read_s = (None, FILM_READ_S) if is_web else (_LOW_LATENCY, READ_S)

    def open_it() -> Video:
        return open_video(escape_user(address), name, options=options, timeout_s=(OPEN_S, read_s))

    try:  # a name look-up knows no time limit of its own
        video = call_with_deadline(open_it, OPEN_S + 0.3, Video.close)
    except TimeoutError:
        raise SourceError(no_answer(name)) from None
    return play(video, remote=True) if is_web and video.has_end else watch(video)


def watch(video: Video) -> Feed:
    """Read an opened video that has no end, the newest frame only.

    Raises:
        SourceError: it breaks off or stays silent before its first frame.
    """
    fps, started = video.fps, time.monotonic()
    video.stream.thread_type = "NONE"  # the default damages multi-slice H.264 in silence

    def produce(stop: threading.Event) -> Generator[Frame, None, None]:
        try:
            yield from decode(video, stop, lambda *_: time.monotonic() - started)
        except av.FFmpegError as error:
            log.debug("%s: %s", video.name, error.strerror)
        if not stop.is_set():
            raise SourceLostError(lost(video.name))  # a dead camera looks like the end of a film

    return Feed(
        Newest(produce, name="stream-reader"),
        name=video.name,
        fps=fps,
        first_s=FIRST_PICTURE_S,
        patience_s=SILENCE_S,
    )
