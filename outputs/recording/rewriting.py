"""The last step of a recording: its index goes to the front, and its sound is added."""

import contextlib
import errno
import heapq
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from files import sink_error
from outputs.recording.encoding import TICKS_PER_S
from outputs.recording.sound import Sound, packets_between

ERRORS = (av.FFmpegError, OSError)  # what writing may raise

_SPARE_BYTES = 16 << 20  # left to others on the disk

log = logging.getLogger(__name__)


def rewrite(path: Path, sound: Sound | None, start_s: float, end_s: float) -> None:
    """Rewrite a finished recording; where that fails it stays as it is, and can be played.

    Args:
        path: of the recording.
        sound: of the film that was recorded; None = there is none.
        start_s: the film's time at which the recording begins.
        end_s: and ends: sound is cut there.
    """
    if path.suffix.lower() == ".mkv" and sound is None:
        return  # it is as it should be
    beside = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        if shutil.disk_usage(path.parent).free < path.stat().st_size + _SPARE_BYTES:
            raise OSError(errno.ENOSPC, "no room to rewrite it")
        if sound is None or not _added(path, beside, sound, start_s, end_s):
            with _files(path, beside) as (old, new):
                _copy(new, _pictures(old, new))
        beside.replace(path)
    except ERRORS as error:
        log.warning("%s stays fragmented and silent: %s", path.name, sink_error(path, error))
    finally:
        with contextlib.suppress(OSError):  # after a success there is nothing to remove
            beside.unlink()


def _added(path: Path, beside: Path, sound: Sound, start_s: float, end_s: float) -> bool:
    """Write pictures and sound; False and a warning where the sound is to blame."""
    try:
        with _files(path, beside) as (old, new), sound.opened() as (film, stream):
            pictures = _pictures(old, new)
            copy = new.add_stream_from_template(stream)
            copied = _into(copy, packets_between(film, stream, start_s, end_s))
            _copy(new, heapq.merge(pictures, copied, key=_time_s))
    except (*ERRORS, ValueError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise
        log.warning("%s: the sound is left out: %s", path.name, sink_error(path, error))
        return False
    return True


@contextlib.contextmanager
def _files(path: Path, beside: Path) -> Iterator[tuple[InputContainer, OutputContainer]]:
    options = {"movflags": "+faststart", "video_track_timescale": str(TICKS_PER_S)}
    if path.suffix.lower() == ".mkv":
        options = {}
    with av.open(str(path)) as old, av.open(str(beside), "w", options=options) as new:
        yield old, new


def _pictures(old: InputContainer, new: OutputContainer) -> "Iterator[Packet[Any]]":
    copy = new.add_stream_from_template(old.streams.video[0])
    return _into(copy, (packet for packet in old.demux(video=0) if packet.dts is not None))


def _into(stream: Any, packets: "Iterator[Packet[Any]]") -> "Iterator[Packet[Any]]":
    for packet in packets:
        packet.stream = stream
        yield packet


def _time_s(packet: "Packet[Any]") -> float:
    return float((packet.dts or 0) * packet.time_base)


def _copy(new: OutputContainer, packets: "Iterator[Packet[Any]]") -> None:
    for packet in packets:
        new.mux(packet)
