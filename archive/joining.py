"""Recordings of slices become one by packet copy: nothing is encoded again."""

from collections.abc import Sequence
from pathlib import Path

import av

from files import sink_error
from outputs.recording.encoding import TICKS_PER_S
from outputs.recording.rewriting import ERRORS


def concatenate(paths: Sequence[Path], target: Path) -> None:
    """Write one recording with the packets of several, at their own times.

    Args:
        paths: in order; made by `outputs.recording.sink.Recording` with the same picture size,
            and each beginning at its place in the film.
        target: the file to make; seekable, its index in front.

    Raises:
        SinkError: it cannot be written.
    """
    options = {"movflags": "+faststart", "video_track_timescale": str(TICKS_PER_S)}
    partial = target.with_name("partial-" + target.name)
    try:
        with av.open(str(partial), "w", options=options) as new:
            stream, last = None, None
            for path in paths:
                with av.open(str(path)) as old:
                    stream = stream or new.add_stream_from_template(old.streams.video[0])
                    for packet in old.demux(video=0):
                        if packet.dts is None:
                            continue
                        # The encoder of each slice begins its decoding times anew, which can
                        # touch those of the slice before where frames come irregularly.
                        if last is not None and packet.dts <= last:
                            packet.dts = last + 1
                        last = packet.dts
                        packet.stream = stream
                        new.mux(packet)
        partial.replace(target)
    except ERRORS as error:
        raise sink_error(target, error) from error
