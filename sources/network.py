"""Network streams: their addresses, how one is opened and read, and frames that come late.

After a delay on the way, the frames held back arrive at once and show the past; where decoding
is slower than the camera, packets pile up in front of the decoder. The sender's clock
distinguishes such frames from fresh ones.
"""

import contextlib
import math
import re
import threading
import time
from collections import deque
from collections.abc import Generator
from urllib.parse import quote

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from errors import SourceError
from sources.decoding import Video, open_video, packets_of, to_image
from sources.feed import Feed, no_answer
from sources.files import play
from sources.live import Arrival, Connect, Connection, LiveFeed, LiveOptions
from sources.rtsp_relay import open_rtsp
from threads import call_with_deadline

OPEN_S = 4.5
READ_S = 2.0
FILM_READ_S = 10.0
AHEAD_S = 20.0  # of its own time
JUDGE_S = 1.5  # for whether that much comes
UNDECODABLE_S = 20.0  # without a frame although data come: longer than key frames are apart
WINDOW_S = 5.0  # a connection that is silent for two seconds is given up: backlogs are shorter
JITTER_S = 0.2  # usual variation by networks and decoders
UNSTEADY_S = 20.0  # late all that time: key frames came, so a decoder would have caught up
_LEAP_S = 10.0

_HOST = r"(?:\[[^\]]*\]|[^@:/?#\[\]]+)(?::\d+)?(?=[/?#]|$)"
_WITH_USER = re.compile(rf"(\w+://)(?!{_HOST})(.*?)@(?={_HOST})(.*)", re.DOTALL)

# Frames come 40 ms old with these; the defaults buffer and analyse for seconds.
_LOW_LATENCY = {
    "rtsp_transport": "tcp",
    "fflags": "nobuffer",
    "flags": "low_delay",
    "analyzeduration": "500000",
    "probesize": "65536",
    "allowed_media_types": "video",
}
# One more try at once: FFmpeg goes on with a connection that the server has closed unannounced.
_HTTP = {"reconnect": "1", "reconnect_on_network_error": "1", "reconnect_max_retries": "1"}


def escape_user(address: str) -> str:
    """Return `address` with user name and password escaped as URLs demand.

    Users type passwords with @, : or / in them, and FFmpeg would take a part of them for the
    host: `rtsp://user:p@ss:w/rd@host/cam`. Escapes, and an address without a user, stay.
    """
    found = _WITH_USER.fullmatch(address)
    if found is None:
        return address
    user, colon, password = found[2].partition(":")
    return f"{found[1]}{quote(user, safe='%')}{colon}{quote(password, safe='%')}@{found[3]}"


def open_stream(address: str, name: str, options: LiveOptions) -> Feed | LiveFeed:
    """Open a network address: the newest frame of a live stream, or all of a film.

    An http(s) address whose container states a duration, or whose server states the size of
    the file, is a film and is read like a file; so is what comes far faster than it is played.
    Everything else is live, also a picture that a camera makes anew for each request. One that
    cannot be opened yet counts as live.

    Raises:
        SourceError: wrong password, unknown path or host, nothing listening, no answer.
    """
    if not address.lower().startswith(("http://", "https://")):
        return LiveFeed(_connecting(address, name, _LOW_LATENCY, READ_S), name, options)
    # `nobuffer` drops the frames that were read while opening: not for films, which may
    # also be slow for a while without being lost.
    video = None
    try:  # a name look-up has no time limit of its own
        video = call_with_deadline(
            lambda: _open(address, name, _HTTP, FILM_READ_S), OPEN_S + 0.3, Video.close
        )
    except TimeoutError:
        if not options.keep_trying:
            raise SourceError(no_answer(name)) from None
    except SourceError:
        if not options.keep_trying:
            raise
    if video and video.has_end:
        return play(video, remote=True)
    if video and not video.is_list:
        if _is_film(video):
            return play(_open(address, name, _HTTP, FILM_READ_S), remote=True)
        video = None  # its first key frame was read
    return LiveFeed(_connecting(address, name, _HTTP, FILM_READ_S, video), name, options)


def open_address(
    address: str, name: str, *, options: dict[str, str], timeout_s: tuple[float, float]
) -> Video:
    """Open any address as `decoding.open_video` does; an RTSP password stays with its server."""
    opener = open_rtsp if address.startswith("rtsp") else open_video
    return opener(escape_user(address), name, options=options, timeout_s=timeout_s)


def _open(address: str, name: str, options: dict[str, str], read_s: float) -> Video:
    return open_address(address, name, options=options, timeout_s=(OPEN_S, read_s))


def _is_film(video: Video) -> bool:
    """Whether `video`, which states no end, is a film sent in chunks; closes it."""
    try:
        found = call_with_deadline(
            lambda: _comes_ahead(video), JUDGE_S + 0.5, lambda late: video.close()
        )
    except TimeoutError:  # it is being read: the thread closes it
        return False
    video.close()
    return found


def _comes_ahead(video: Video) -> bool:
    """Whether it is sent much faster than it is played, so that no camera makes it now.

    Cameras and relays send the last few seconds at once, no more.
    """
    began_s, times = time.monotonic(), [math.inf, -math.inf]
    with contextlib.suppress(av.FFmpegError):
        for packet in packets_of(video.container, video.stream):
            took_s = time.monotonic() - began_s
            if packet.pts is not None and packet.time_base is not None:
                time_s = float(packet.pts * packet.time_base)
                times = [min(times[0], time_s), max(times[1], time_s)]
            ahead_s = times[1] - times[0] - took_s
            if ahead_s > AHEAD_S or took_s > JUDGE_S:
                return ahead_s > AHEAD_S
        return times[1] - times[0] > 1 + time.monotonic() - began_s  # a short one, at its end
    return False


def _connecting(
    address: str,
    name: str,
    options: dict[str, str],
    read_s: float,
    opened: Video | None = None,
) -> Connect:
    """Return what opens a network stream; the first call returns the one already `opened`."""
    spare = [opened] if opened else []

    def connect(stop: threading.Event) -> Connection:
        video = spare.pop() if spare else _open(address, name, options, read_s)
        return Connection(video.fps, pictures_from(video, stop, read_s))

    return connect


def pictures_from(
    video: Video, stop: threading.Event, read_s: float
) -> Generator[Arrival, None, None]:
    """Read an opened video without an end until it disconnects, then close it.

    Damaged packets are skipped, and so are late frames: see `CatchUp`.
    """
    video.stream.thread_type = "NONE"  # the default damages multi-slice H.264 without an error
    catch_up, left_out = CatchUp(video.stream.codec_context), 0
    packet_s = picture_s = time.monotonic()
    with contextlib.closing(video), contextlib.suppress(av.FFmpegError):
        for packet in packets_of(video.container, video.stream):
            before_s, packet_s = packet_s, time.monotonic()
            # After a timeout FFmpeg first returns an old packet; only the next is an error.
            timed_out = packet_s - before_s > 0.95 * read_s
            if stop.is_set() or timed_out or packet_s - picture_s > UNDECODABLE_S:
                return
            for picture in _decoded(packet):
                picture_s = time.monotonic()
                media_s = _media_s(picture) if video.has_clock else None
                late_s = catch_up.late_s(media_s, bool(picture.key_frame), picture_s)
                if catch_up.leaves_out(late_s, picture_s):
                    left_out += 1
                    continue
                yield Arrival(
                    to_image(picture, video.reformatter, video.pixel_aspect),
                    picture_s,
                    late_s,
                    left_out,
                )
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


class Lateness:
    """Compares the clock of one connection's sender with ours, frame by frame.

    The smallest difference within the last five seconds, by either clock, counts as "no delay",
    so the effect of a clock that drifts or leaps ends after that time. Where frames have been
    late for 20 s without end, the sender's clock stands still or is slow, and tells nothing.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()  # sender's time, arrival
        self._in_time_s = 0.0

    def of(self, media_s: float | None, arrived_s: float) -> float:
        """Return by how many seconds a frame is late; 0 if the delay is usual.

        `media_s` is the sender's time stamp, if any, `arrived_s` the `time.monotonic()` when
        the frame left the decoder.
        """
        if media_s is None:
            return 0.0
        if self._seen and not -1 < media_s - self._seen[-1][0] < _LEAP_S:
            self._seen.clear()
        self._seen.append((media_s, arrived_s))
        while max(media_s - self._seen[0][0], arrived_s - self._seen[0][1]) > WINDOW_S:
            self._seen.popleft()
        late_s = arrived_s - media_s - min(ours_s - theirs_s for theirs_s, ours_s in self._seen)
        if late_s <= JITTER_S:
            self._in_time_s = arrived_s
        return late_s if 0 < arrived_s - self._in_time_s < UNSTEADY_S else 0.0


class CatchUp:
    """Saves work on late frames until the decoder has caught up.

    Late frames are decoded, as the next ones need them, but only one in 0.3 s is converted
    to BGR, which takes about as long. Where that is not enough, the decoder skips all but
    key frames.
    """

    SHOW_EVERY_S = 0.3
    KEY_FRAMES_ONLY_S = 1.0  # late

    def __init__(self, decoder: VideoCodecContext) -> None:
        self._decoder = decoder
        self._lateness = Lateness()
        self._shown_s = -math.inf

    def late_s(self, media_s: float | None, is_key: bool, now_s: float) -> float:
        """Return `Lateness.of` a decoded frame, and set what the decoder skips.

        `is_key`: it can be decoded without others.
        """
        late_s = self._lateness.of(media_s, now_s)
        if late_s > self.KEY_FRAMES_ONLY_S:
            self._decoder.skip_frame = "NONKEY"
        elif late_s == 0 and is_key:  # the next frames refer to decoded ones
            self._decoder.skip_frame = "DEFAULT"
        return late_s

    def leaves_out(self, late_s: float, now_s: float) -> bool:
        """Return whether to skip the conversion of a frame that is so late."""
        if late_s > 0 and now_s - self._shown_s < self.SHOW_EVERY_S:
            return True
        self._shown_s = now_s
        return False
