"""Video files and the generated test pattern."""

import contextlib
import itertools
import logging
import math
import re
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av

from errors import SourceError, SourceLostError
from sources.decoding import Video, decode, open_video, packets_of
from sources.feed import Feed, lost
from structures import Frame
from threads import ReadAhead

log = logging.getLogger(__name__)

_SOME_PACKETS = 250  # ten seconds
# Before the place: seeking goes by decoding times, which run ahead of those shown; key frames may
# be ten seconds apart.
_SEEK_MARGINS_S = 1.0, 12.0
_TEST_PATTERN = re.compile(
    r"test:(?:(?P<width>\d+)x(?P<height>\d+))?(?:@(?P<fps>\d+(?:\.\d+|/0*[1-9]\d*)?))?"
    r",?(?:duration=(?P<duration>\d+(?:\.\d+)?))?"
)


def find_path(text: str, name: str) -> Path:
    """Return the path of the file or folder that `text` names.

    Raises:
        SourceError: there is none, it is empty, or neither file nor folder.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        user = Path(text).parts[0]
        raise SourceError(f"{name}: {user} is nobody's home folder here; check the path") from None
    try:
        if path.is_dir():
            return path
        if not path.exists():
            raise SourceError(f"{name}: no such file or folder; check the path")
        if not path.is_file():
            raise SourceError(f"{name} is neither a file nor a folder; give a video or a picture")
        if path.stat().st_size == 0:
            raise SourceError(f"{name} is empty (0 bytes); copy it again")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SourceError(f"{name} cannot be opened ({reason}); check the path") from None
    return path


def open_file(path: Path, name: str) -> Feed:
    """Open a video file: every frame once and in order, at its own time.

    Of a file that is damaged or cut off all frames that can be decoded come; a warning is
    logged.

    Raises:
        SourceError: it is not a video, or no frame of it can be decoded.
    """
    # Absolute, or FFmpeg takes the "a:" of a file called "a:b.mp4" for a protocol.
    address = str(path.absolute())
    if (stated := _stated_size(path)) and stated > (size := path.stat().st_size):
        log.warning("%s is cut off: %d of %d bytes are there", name, size, stated)
    feed = play(video := open_video(address, name), again=partial(_read_from, address, name))
    if video.has_leaps and feed.frame_count is not None:
        feed.frame_count = _likely_count(address, name, feed.frame_count)
    return feed


def _stated_size(path: Path) -> int | None:
    """Return the bytes that a Matroska or WebM file should have; None for others, or unknown.

    Its first element is a header, its second all the rest; each states its size in 1 to 8
    bytes, of which the first 1 bit says how many, and the others the number.
    """
    with path.open("rb") as file:
        head = file.read(200)
    end = 0
    for name in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        if head[end : end + 4] != name or not head[end + 4 : end + 5].strip(b"\0"):
            return None
        length = 9 - head[end + 4].bit_length()
        most = (1 << 7 * length) - 1
        size = int.from_bytes(head[end + 4 : end + 4 + length]) & most
        if size == most:  # it is written while it is sent
            return None
        end += 4 + length + size
    return end


def _likely_count(address: str, name: str, by_time: int) -> int:
    """Return the number of frames by the clock, or by the file's size where that leaps."""
    count, end = 0, 0
    with contextlib.closing(open_video(address, name)) as video:
        packets = packets_of(video.container, video.stream)
        for packet in itertools.islice(packets, _SOME_PACKETS):
            count, end = count + bool(packet.size), max(end, packet.pos or 0)
        whole = next(packets, None) is None
        by_size = count if whole else round(count * video.container.size / max(end, 1))
    return by_size if whole or not by_size / 3 < by_time < 3 * by_size else by_time


def _read_from(address: str, name: str, time_s: float, epoch: int) -> ReadAhead[Frame]:
    """Read a film from a time on, with epochs that much higher; what is damaged ends it."""

    def produce(stop: threading.Event) -> Generator[Frame, None, None]:
        try:
            with contextlib.closing(decode_from(address, name, time_s, stop)) as frames:
                for frame in frames:
                    yield replace(frame, epoch=frame.epoch + epoch)
        except av.FFmpegError as error:
            log.warning("%s is damaged: %s", name, error.strerror)

    return ReadAhead(produce, name="file-reader")


def decode_from(
    address: str, name: str, time_s: float, stop: threading.Event
) -> Generator[Frame, None, None]:
    """Decode a film from the frame at `time_s` on, until its end or until `stop` is set.

    Some containers have no index, and some no clock: where seeking leads beyond that frame, all
    that is before it is decoded, too.

    Raises:
        SourceError: it cannot be opened.
        av.FFmpegError: the container ends early.
    """
    for margin_s in (*_SEEK_MARGINS_S, math.inf):
        with contextlib.closing(open_video(address, name)) as video:
            video.stream.thread_type = "AUTO"
            to_s, from_s = max(0.0, time_s - margin_s), time_s - 0.5 / video.fps
            if to_s and not (video.has_clock and _sought(video, to_s)):
                continue
            with contextlib.closing(decode(video, stop, video.media_clock())) as frames:
                head = next(frames, None)
                if to_s and (head is None or head.time_s > time_s):
                    continue
                for frame in itertools.chain([head] if head else [], frames):
                    if frame.time_s > from_s:
                        yield frame
                return


def _sought(video: Video, time_s: float) -> bool:
    """Go to a key frame at or before a time, as far as the container knows; whether it can."""
    start = Fraction(video.container.start_time or 0, av.time_base)  # as `media_clock` has it
    ticks = (Fraction(time_s) + start) / (video.stream.time_base or Fraction(1, av.time_base))
    try:
        video.container.seek(math.floor(ticks), stream=video.stream)
    except av.FFmpegError:
        return False
    return True


def play(
    video: Video,
    remote: bool = False,
    again: Callable[[float, int], ReadAhead[Frame]] | None = None,
) -> Feed:
    """Read an opened video that has an end; see `open_file`, and `Feed` of `again`.

    A `remote` one that disconnects raises `SourceLostError`.
    """
    video.stream.thread_type = "AUTO"
    fps, count, time_of = video.fps, video.frame_count, video.media_clock()
    promised = count or 0 if video.stream.frames else 0  # durations are too inexact

    def produce(stop: threading.Event) -> Generator[Frame, None, None]:
        decoded = 0
        try:
            for frame in decode(video, stop, time_of):
                decoded += 1
                yield frame
        except av.FFmpegError as error:
            if remote:
                raise SourceLostError(lost(video.name)) from None
            log.warning("%s is damaged after %d frames: %s", video.name, decoded, error.strerror)
            return
        if decoded < promised and not stop.is_set():
            cut = "%s ended after %d of %d frames: it may be damaged or cut off"
            log.warning(cut, video.name, decoded, promised)

    reader = ReadAhead(produce, name="file-reader")
    return Feed(reader, name=video.name, fps=fps, frame_count=count, again=again)


def open_test_pattern(text: str) -> Feed:
    """Open a generated moving pattern that goes through the real decoder path.

    Args:
        text: `test:[WIDTHxHEIGHT][@FPS][,duration=SECONDS]`; by default 640x360@25 for 10 s.
            FPS may be a fraction: `test:@30000/1001`.

    Raises:
        SourceError: the address is not of that form.
    """
    found = _TEST_PATTERN.fullmatch(text)
    if found is None:
        form = "test:[WIDTHxHEIGHT][@FPS][,duration=SECONDS]"
        raise SourceError(f"{text} is no test pattern; write {form}")
    size = f"{found['width'] or 640}x{found['height'] or 360}"
    rate = Fraction(found["fps"] or 25)
    duration = float(found["duration"] or 10)
    graph = f"testsrc2=size={size}:rate={rate}:duration={duration}"
    feed = play(open_video(graph, text, file_format="lavfi"))
    feed.frame_count = math.ceil(duration * rate)
    return feed
