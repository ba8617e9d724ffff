"""Decoding with PyAV, for video files, test patterns and network streams."""

import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream

from errors import PasswordError, RefusedError, SourceError
from sources.feed import NOMINAL_FPS, no_answer
from sources.hdr import is_hdr, to_standard
from structures import Frame, Image

_SQUARE = Fraction(1)
_LISTS = frozenset({"hls", "dash", "mpjpeg", "sdp"})  # whose size says nothing of a film
_HD_LINES = 720
_BT709, _UNSPECIFIED = Colorspace.ITU709, 2  # the latter in FFmpeg's `AVColorSpace`
_TEXT_ART = frozenset({"ansi", "bintext", "xbin", "idf"})  # FFmpeg makes films of text files

log = logging.getLogger(__name__)


def open_video(
    address: str,
    name: str,
    *,
    file_format: str | None = None,
    options: dict[str, str] | None = None,
    timeout_s: tuple[float, float] | None = None,
) -> "Video":
    """Open a file or an address and find its stream of frames.

    Args:
        address: path or URL, as FFmpeg understands it.
        name: for messages.
        file_format: FFmpeg's name of the format; None = detected.
        options: of FFmpeg.
        timeout_s: limits for opening and for each read; None = none.

    Raises:
        SourceError: it cannot be opened, or is not a video.
    """
    container = _open(address, name, file_format, options, timeout_s)
    if isinstance(container, SourceError):
        raise container  # not chained to FFmpeg's error, which holds address and password
    video = _moving_pictures(container, name)
    if isinstance(video, SourceError):
        container.close()
        raise video
    return video


def _moving_pictures(container: InputContainer, name: str) -> "Video | SourceError":
    """Return the container's default video stream, else its first one; no cover images."""
    streams = container.streams.video
    known = [stream for stream in streams if cast("object", stream.codec_context) is not None]
    if any(stream.codec_context.name in _TEXT_ART for stream in known):
        return SourceError(not_a_video(name))
    cover = av.stream.Disposition.attached_pic  # of a song
    moving = [stream for stream in known if not stream.disposition & cover]
    if moving:
        default = av.stream.Disposition.default
        return Video(container, max(moving, key=lambda s: bool(s.disposition & default)), name)
    if not container.streams:
        return SourceError(_no_frames(name))
    if len(known) < len(streams):
        return SourceError(f"{name} is in a format that FFmpeg lacks; convert it to H.264")
    kinds = ", ".join(sorted({s.type for s in container.streams} - {"video"})) or "a still"
    return SourceError(f"{name} has no moving pictures ({kinds} only); give a video or a picture")


def _open(
    address: str,
    name: str,
    file_format: str | None,
    options: dict[str, str] | None,
    timeout_s: tuple[float, float] | None,
) -> InputContainer | SourceError:
    """Open a container, or return what is wrong."""
    started = time.monotonic()
    try:
        return av.open(address, format=file_format, options=options, timeout=timeout_s)
    except (av.FFmpegError, OSError, ValueError) as error:
        # FFmpeg has several errors for no answer, "invalid data" among them.
        if timeout_s is not None and time.monotonic() - started > 0.9 * timeout_s[0]:
            return SourceError(no_answer(name))
        return _refusal(error, name) or SourceError(why_not_opened(error, address, name))


def not_a_video(name: str) -> str:
    """Return the message for a file that is something else."""
    return f"{name} is not a video, or is damaged from the start; play it elsewhere to check"


def _no_frames(name: str) -> str:
    return f"{name} holds no frames at all; record it again"


def _refusal(error: Exception, name: str) -> RefusedError | None:
    """Return the error for a server that refuses, None for any other failure."""
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return PasswordError(f"{name} refuses the user name or password; check both in the address")
    if isinstance(error, av.error.HTTPNotFoundError):
        return RefusedError(
            f"{name}: the server has nothing at this path; check the end of the address"
        )
    return None


def why_not_opened(error: Exception, address: str, name: str) -> str:
    """Return cause and remedy of a failed open, in one line."""
    if isinstance(error, ConnectionRefusedError):
        return (
            f"{name}: nothing listens at this host and port; is it switched on, is the port right?"
        )
    if isinstance(error, av.error.ExitError | TimeoutError):
        return no_answer(name)
    if isinstance(error, PermissionError):
        return f"{name} may not be read by this user; change its permissions"
    if "://" in address and not host_is_known(address):
        return f"{name}: the host is not known; check its name and the network"
    if isinstance(error, av.error.InvalidDataError):
        return not_a_video(name)
    if isinstance(error, av.error.EOFError) and "://" not in address:
        return _no_frames(name)
    if isinstance(error, av.error.ProtocolNotFoundError):
        kind = address.partition("://")[0].upper()
        return f"{name}: this program's FFmpeg is built without {kind}; send RTSP, RTMP or UDP"
    if isinstance(error, av.error.HTTPOtherClientError) and address.startswith("rtsp"):
        return (
            f"{name}: the server has no video at this path, sound at most, or will not play it; "
            "check the end of the address"
        )
    reason = error.strerror if isinstance(error, OSError | av.FFmpegError) else None
    return f"{name} cannot be opened ({reason or type(error).__name__}); check the address"


def host_is_known(address: str) -> bool:
    """Whether the host of an address can be resolved; its user is escaped."""
    found = re.match(r"\w+://(?:[^/?#@]*@)?(?:\[([^\]]*)\]|([^:/?#]+))", address)
    if found is None:
        return True
    try:
        socket.getaddrinfo(found[1] or found[2], None)
    except (socket.gaierror, UnicodeError):  # it cannot be a name at all
        return False
    return True


@dataclass(frozen=True, slots=True)
class Video:
    """An opened container, its video stream and its name; to be closed.

    `also_close` is called after the container is closed. `reformatter` is for `to_image`.
    """

    container: InputContainer = field(repr=False)  # its own repr shows the address
    stream: VideoStream
    name: str
    also_close: Callable[[], object] = bool
    reformatter: VideoReformatter = field(default_factory=VideoReformatter, repr=False)

    def close(self) -> None:
        """Close the container; may be called again."""
        self.container.close()
        self.also_close()

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel to its height; square where unknown or implausible."""
        aspect = self.stream.sample_aspect_ratio
        return aspect if aspect and 0.25 <= aspect <= 4 else _SQUARE

    @property
    def has_end(self) -> bool:
        """Whether it is a film: its duration or the size of its file is stated."""
        return bool(self.container.duration) or (self.container.size > 0 and not self.is_list)

    @property
    def is_list(self) -> bool:
        """Whether its pieces are each for itself: a playlist, or pictures one after the other."""
        name = self.container.format.name
        return name in _LISTS or name.endswith("_pipe")

    @property
    def has_clock(self) -> bool:
        """Whether its times are the sender's.

        FFmpeg makes them up, 25 a second, for raw streams and pictures one after the other.
        """
        made_up = self.container.format.flags & av.format.Flags.no_timestamps.value
        return not (made_up or self.container.format.name.endswith("_pipe"))

    @property
    def has_leaps(self) -> bool:
        """Whether its clock may leap: that of MPEG-TS, which is joined from recordings."""
        return bool(self.container.format.flags & av.format.Flags.ts_discont.value)

    @property
    def fps(self) -> float:
        """Frames per second with the fraction, nominal where unknown."""
        stream = self.stream  # clock rates such as 1000 or 90,000 mean "unknown"
        rates = (stream.average_rate, 10_000), (stream.guessed_rate, 1000), (stream.base_rate, 1000)
        for rate, most in rates:
            if rate and 0 < rate <= most:
                return float(rate)
        return NOMINAL_FPS

    @property
    def frame_count(self) -> int | None:
        """The number of frames by the header, None where it does not state it.

        A film trimmed without encoding it again stores more frames than it shows.
        """
        stored, duration = int(self.stream.frames), self.container.duration
        if not duration:
            return stored or None
        shown = duration / av.time_base * self.fps
        if not stored:
            return max(1, round(shown))
        return stored if shown > stored - 2 else max(1, int(shown))

    def media_clock(self) -> Callable[[VideoFrame, int], float]:
        """Return a function of PyAV's frame and its index: seconds from the container's start.

        Frames without a time (raw H.264, for one) are spaced by `fps`. AVI stores times in
        decoding order, which differs from display order where H.264 has B-frames.
        """
        start, fps = Fraction(self.container.start_time or 0, av.time_base), self.fps
        by_dts, steady = self.container.format.name == "avi", SteadyClock(self.container)

        def time_of(picture: VideoFrame, index: int) -> float:
            ticks = picture.dts if by_dts else picture.pts
            if ticks is None or picture.time_base is None:
                return index / fps if steady.next_s is None else steady.of(steady.next_s, 1 / fps)
            return steady.of(float(ticks * picture.time_base - start), 1 / fps)

        return time_of


class SteadyClock:
    """Continues times evenly where the clock of an MPEG-TS stream restarts or leaps.

    Such streams may be joined from recordings, and their clocks overflow. Times of other
    containers are not changed.

    Attributes:
        next_s: when the next frame or sound is due; None before the first.
    """

    LEAP_S = 10.0
    BACK_S = 0.3

    def __init__(self, container: InputContainer) -> None:
        self.next_s: float | None = None
        self._may_leap = bool(container.format.flags & av.format.Flags.ts_discont.value)
        self._offset_s = 0.0

    def of(self, time_s: float, length_s: float) -> float:
        """Return the steady time of a frame or sound with stamp `time_s` and that length."""
        steady_s = time_s + self._offset_s
        due_s = steady_s if self.next_s is None else self.next_s
        if self._may_leap and not -self.BACK_S < steady_s - due_s < self.LEAP_S:
            self._offset_s += due_s - steady_s
            steady_s = due_s
        self.next_s = steady_s + length_s
        return steady_s


def decode(
    video: Video, stop: threading.Event, time_of: Callable[[VideoFrame, int], float]
) -> Generator[Frame, None, None]:
    """Decode an opened video to its end or until `stop` is set, then close it.

    A change of size begins a new epoch, as pixel coordinates change their meaning. Packets
    that cannot be decoded are skipped. `time_of` returns a frame's `time_s` from PyAV's frame
    and its index.

    Raises:
        av.FFmpegError: the container ends early, after the last frame that can be decoded.
    """
    epoch, shape = 0, None
    with contextlib.closing(video):
        for index, picture in enumerate(pictures_of(video, stop)):
            image = to_image(picture, video.reformatter, video.pixel_aspect)
            epoch += shape not in (None, image.shape)
            shape = image.shape
            yield Frame(image, index, time_of(picture, index), epoch)


def packets_of(container: InputContainer, stream: Stream) -> "Iterator[Packet[Any]]":
    """Demux one stream; packets of streams that first show up on the way are skipped.

    PyAV knows the streams found at the beginning, and raises IndexError for others.
    """
    while True:
        try:
            yield from container.demux(stream)
        except IndexError:
            continue
        return


def pictures_of(video: Video, stop: threading.Event) -> Generator[VideoFrame, None, None]:
    """Decode an opened video as `decode` does, and leave it open."""
    skipped, cut = 0, False
    last: int | None = None
    # A broken packet of MPEG-TS may still hold most of a frame.
    keeps_broken = video.has_leaps
    try:
        for packet in packets_of(video.container, video.stream):
            if stop.is_set():
                return
            last = last if packet.dts is None else packet.dts
            if packet.is_corrupt and not keeps_broken:  # with it a decoder may drop whole frames
                cut = True
                continue
            try:
                yield from packet.decode()
            except av.error.InvalidDataError:
                skipped += 1
        cut |= "mp4" in video.container.format.name and _goes_on_after(video.stream, last)
    except av.FFmpegError:
        with contextlib.suppress(av.FFmpegError):
            yield from video.stream.codec_context.decode(None)
        raise
    finally:
        if cut and not video.stream.frames:  # else the number of frames tells
            log.warning("%s ends early: it is damaged or cut off", video.name)
        if skipped:
            log.warning("%s: %d damaged packets were skipped", video.name, skipped)


def _goes_on_after(stream: VideoStream, dts: int | None) -> bool:
    """Whether the index of an MP4 file lists a packet after the one of that decoding time."""
    entries = stream.index_entries
    return dts is not None and len(entries) > 0 and entries[-1].timestamp > dts


def to_image(
    picture: VideoFrame, reformatter: VideoReformatter, pixel_aspect: Fraction = _SQUARE
) -> Image:
    """Return PyAV's frame as an (H, W, 3) uint8 BGR image, upright and with square pixels.

    Pictures of high dynamic range are brought to the standard one.

    Args:
        picture: its side data may say how to turn or mirror it.
        reformatter: one for all pictures of a stream. A picture that brings its own starts
            threads, which live as long as it does.
        pixel_aspect: width of its pixels to their height.
    """
    width, height = picture.width, picture.height
    if pixel_aspect > 1:
        width = round(width * pixel_aspect)
    elif pixel_aspect < 1:
        height = round(height / pixel_aspect)
    colours = _BT709 if _is_untagged_hd(picture) else None
    converted = reformatter.reformat(
        picture, width=width, height=height, format="bgr24", src_colorspace=colours
    )
    image = cast("Image", converted.to_ndarray())
    if is_hdr(picture.color_trc):
        image = to_standard(image, picture.color_trc, picture.color_primaries)
    matrix = cast("Mapping[str, Any]", picture.side_data).get("DISPLAYMATRIX")
    return image if matrix is None else upright(image, bytes(matrix))


def _is_untagged_hd(picture: VideoFrame) -> bool:
    """Whether players take BT.709 for it: FFmpeg would take BT.601, as for small pictures."""
    unknown = picture.colorspace == _UNSPECIFIED and not picture.format.is_rgb
    return unknown and picture.height >= _HD_LINES


def upright(image: Image, matrix: bytes) -> Image:
    """Turn and mirror `image`, (H, W, 3), by the nearest quarter turn.

    `matrix` is 36 bytes, nine int32 (a b u, c d v, x y w): the pixel at x, y goes to
    a x + c y, b x + d y. One that is all zero does nothing.
    """
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32, 5))
    across, down = a, d
    if abs(a) + abs(d) < abs(b) + abs(c):
        image = image.swapaxes(0, 1)  # (W, H, 3)
        across, down = c, b
    image = image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
    return np.ascontiguousarray(image)
