"""Network streams: how one is opened and read; `reconnecting` does so again and again."""

import contextlib
import threading
import time
from collections.abc import Generator

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from errors import SourceError
from sources.addresses import escape_user
from sources.decoding import Video, no_answer, open_video, to_image
from sources.feed import Feed
from sources.files import play
from sources.lateness import CatchUp
from sources.live import LiveFeed, LiveOptions
from sources.reconnecting import Connect, Connection, Picture
from threads import call_with_deadline

OPEN_S = 4.5
READ_S = 2.0
FILM_READ_S = 10.0
UNDECODABLE_S = 20.0  # without a picture although data come: longer than key frames are apart

# Frames come 40 ms old with these; the defaults buffer and analyse for seconds.
_LOW_LATENCY = {
    "rtsp_transport": "tcp",
    "fflags": "nobuffer",
    "flags": "low_delay",
    "analyzeduration": "500000",
    "probesize": "65536",
    "allowed_media_types": "video",
}


def open_stream(address: str, name: str, options: LiveOptions) -> Feed | LiveFeed:
    """Open a network address: the newest frame of a live stream, or all of a film.

    An http(s) address whose container states a duration is a film and is read like a
    file; everything else is live. One that cannot be opened yet counts as live.

    Args:
        address: URL, as FFmpeg understands it.
        name: what to call it; without secrets.
        options: what becomes of a live stream when all is not well.

    Raises:
        SourceError: wrong password, unknown path or host, nothing listening, no answer.
    """
    if not address.lower().startswith(("http://", "https://")):
        return LiveFeed(_connecting(address, name, _LOW_LATENCY, READ_S), name, options)
    # `nobuffer` throws away the frames that were looked at while opening: not for films,
    # which may also be slow for a while without being lost.
    video = None
    try:  # a name look-up knows no time limit of its own
        video = call_with_deadline(
            lambda: _open(address, name, None, FILM_READ_S), OPEN_S + 0.3, Video.close
        )
    except TimeoutError:
        if not options.keep_trying:
            raise SourceError(no_answer(name)) from None
    except SourceError:
        if not options.keep_trying:
            raise
    if video and video.has_end:
        return play(video, remote=True)
    return LiveFeed(_connecting(address, name, None, FILM_READ_S, video), name, options)


def _open(address: str, name: str, options: dict[str, str] | None, read_s: float) -> Video:
    return open_video(escape_user(address), name, options=options, timeout_s=(OPEN_S, read_s))


def _connecting(
    address: str,
    name: str,
    options: dict[str, str] | None,
    read_s: float,
    opened: Video | None = None,
) -> Connect:
    """Return what opens a network stream; the first time that is the one `opened` already."""
    spare = [opened] if opened else []

    def connect(stop: threading.Event) -> Connection:
        video = spare.pop() if spare else _open(address, name, options, read_s)
        return Connection(video.fps, pictures_from(video, stop, read_s))

    return connect


def pictures_from(
    video: Video, stop: threading.Event, read_s: float
) -> Generator[Picture, None, None]:
    """Read an opened video that has no end, until it breaks off; then close it.

    What the decoder still holds then is too old to be given. Damaged packets are skipped,
    and pictures that are late already, see `CatchUp`.
    """
    video.stream.thread_type = "NONE"  # the default damages multi-slice H.264 in silence
    catch_up, left_out = CatchUp(video.stream.codec_context), 0
    packet_s = picture_s = time.monotonic()
    with contextlib.closing(video), contextlib.suppress(av.FFmpegError):
        for packet in video.container.demux(video.stream):
            before_s, packet_s = packet_s, time.monotonic()
            # After a timeout FFmpeg first hands over an old packet; only the next is an error.
            timed_out = packet_s - before_s > 0.95 * read_s
            if stop.is_set() or timed_out or packet_s - picture_s > UNDECODABLE_S:
                return
            for picture in _decoded(packet):
                picture_s = time.monotonic()
                media_s = _media_s(picture)
                if catch_up.leaves_out(media_s, bool(picture.key_frame), picture_s):
                    left_out += 1
                    continue
                yield Picture(to_image(picture), picture_s, media_s, left_out)
                left_out = 0


def _decoded(packet: "Packet[VideoStream]") -> list[VideoFrame]:
    try:
        return packet.decode()
    except av.error.InvalidDataError:
        return []


def _media_s(picture: VideoFrame) -> float | None:
    if picture.pts is None or picture.time_base is None:
        return None
    return float(picture.pts * picture.time_base)
