"""The sound of a film, copied packet by packet into what is recorded of it."""

import contextlib
import io
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}

log = logging.getLogger(__name__)


def find_sound(film: Path, suffix: str) -> "Sound | None":
    """Return the sound of `film` if files that end in `suffix` can hold it.

    Where they cannot, a warning is logged; where there is none or it cannot be opened
    (it may not even be a film), nothing is.
    """
    try:
        with av.open(str(film.absolute())) as file:
            codec = _best(file).codec_context.codec.canonical_name
    except (av.FFmpegError, OSError, ValueError):
        return None
    with av.open(io.BytesIO(), "w", format=_FORMATS[suffix]) as container:
        if codec in container.supported_codecs:
            return Sound(film)
    log.warning("%s: its sound (%s) is left out: %s cannot hold it", film.name, codec, suffix)
    return None


def _best(film: InputContainer) -> AudioStream:
    """Raise ValueError where there is none."""
    stream = film.streams.best("audio")
    if not isinstance(stream, AudioStream):
        raise ValueError("no sound")
    return stream


class Sound:
    """The best stream of sound in a film.

    Args:
        film: its path.
    """

    def __init__(self, film: Path) -> None:
        self._film = film

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[InputContainer, AudioStream]]:
        """Open the stream, as a template and for `packets`.

        Raises:
            av.FFmpegError, OSError: it cannot be opened any more.
        """
        with av.open(str(self._film.absolute())) as file:
            yield file, _best(file)


def packets_between(
    film: InputContainer, stream: AudioStream, start_s: float, end_s: float
) -> "Iterator[Packet[AudioStream]]":
    """Yield the packets that sound between two media times; `start_s` becomes their zero.

    None lies before zero: some files cannot say so, and would have everything else late.

    Args:
        film: opened.
        stream: of it.
        start_s: seconds from the film's start, as in `Frame.time_s`.
        end_s: likewise.
    """
    tick = stream.time_base or Fraction(1, av.time_base)
    zero = round((start_s + (film.start_time or 0) / av.time_base) / tick)
    end = zero + round((end_s - start_s) / tick)
    if start_s > 0:
        film.seek(zero - round(0.1 / tick), stream=stream)
    for packet in film.demux(stream):
        if packet.dts is None or packet.pts is None:
            continue
        if packet.pts >= end:
            return
        if packet.pts >= zero:
            packet.pts -= zero
            packet.dts -= zero
            yield packet
