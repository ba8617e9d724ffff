"""The sound of a film, copied packet by packet into its recording."""

import io
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from files import cause_of
from sources.decoding import SteadyClock, packets_of

ERRORS = (av.FFmpegError, OSError)  # what writing may raise
_REFUSED = (av.error.ArgumentError, av.error.InvalidDataError)  # packets that do not fit
_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}

log = logging.getLogger(__name__)


def has_sound(film: Path, suffix: str) -> bool:
    """Whether `film` has sound that files ending in `suffix` can hold.

    A warning is logged only where the film has sound that they cannot hold.
    """
    try:
        with av.open(str(film.absolute())) as file:
            codec = _best(file).codec_context.codec.canonical_name
    except (*ERRORS, ValueError):
        return False
    with av.open(io.BytesIO(), "w", format=_FORMATS[suffix]) as container:
        if codec in container.supported_codecs:
            return True
    log.warning("%s: its sound (%s) is left out: %s cannot hold it", film.name, codec, suffix)
    return False


def _best(film: InputContainer) -> AudioStream:
    """The best audio stream; raises ValueError where there is none."""
    stream = film.streams.best("audio")
    if not isinstance(stream, AudioStream) or cast("object", stream.codec_context) is None:
        raise ValueError("no sound")
    return stream


class Sound:
    """Copies the best audio stream of a film into `file`, a recording without packets yet.

    Errors in it are logged once, and the recording continues without. `start_s` is the film's
    time, as in `Frame.time_s`, that is the recording's zero.

    Raises:
        av.FFmpegError, OSError, ValueError: the film cannot be opened (any more).
    """

    def __init__(self, film: Path, start_s: float, file: OutputContainer, name: str) -> None:
        self._file, self._name = file, name
        self._film = av.open(str(film.absolute()))
        stream = _best(self._film)
        self._tick = stream.time_base or Fraction(1, av.time_base)
        self._copy = file.add_stream_from_template(stream)
        self._packets = self._packets_from(stream, start_s)
        # MP4 holds AAC without the headers that it has in MPEG-TS, where its template is empty.
        adts = stream.codec_context.name == "aac" and not stream.codec_context.extradata
        is_mp4 = file.format.name in ("mp4", "mov")
        self._filter = BitStreamFilterContext("aac_adtstoasc", stream) if adts and is_mp4 else None
        self._next: Packet[Any] | None = None
        self._advance()

    def _packets_from(self, stream: AudioStream, start_s: float) -> "Iterator[Packet[Any]]":
        """Yield the packets from `start_s` on, which becomes their zero.

        None is before zero: some files cannot hold negative times and would shift all others.
        """
        zero = round((start_s + (self._film.start_time or 0) / av.time_base) / self._tick)
        if start_s > 0:
            self._film.seek(zero - round(0.1 / self._tick), stream=stream)
        clock = SteadyClock(self._film)
        for packet in packets_of(self._film, stream):
            if packet.dts is None or packet.pts is None:
                continue
            time_s = float(packet.pts * self._tick)
            leap_s = clock.of(time_s, float((packet.duration or 0) * self._tick)) - time_s
            shift = round(leap_s / self._tick) - zero
            if packet.pts + shift >= 0:
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                yield packet

    def copy_until(self, time_s: float) -> None:
        """Write the packets that begin before `time_s`, seconds from the recording's zero.

        Raises:
            av.FFmpegError, OSError: the file cannot be written.
        """
        while (packet := self._next) is not None and (packet.pts or 0) * self._tick < time_s:
            self._advance()
            try:
                for each in self._filter.filter(packet) if self._filter else [packet]:
                    each.stream = self._copy
                    self._file.mux(each)
            except _REFUSED as error:
                self._stop(error)

    def _advance(self) -> None:
        try:
            self._next = next(self._packets, None)
        except ERRORS as error:
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        self._next = None
        log.warning("%s: the rest of the sound is left out: %s", self._name, cause_of(error))

    def close(self) -> None:
        """Close the film; may be called again."""
        self._next = None
        self._film.close()
