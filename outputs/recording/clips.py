"""The files of `--record-on`: a clip of each event, with what is told of it beside it."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from errors import SinkError
from files import begins_with, write_whole
from outputs.recording.encoder import TICK, Encoding, FrameEncoder, set_up
from outputs.recording.h264 import MARK, is_recording, muxer_options
from outputs.recording.parts import PartFiles, claim, part_path, remove_empty
from outputs.recording.preroll import PreRoll, Shot
from outputs.recording.sound import ERRORS
from people.records import to_json
from people.triggers import BEFORE_S, Clip, Moment
from structures import Frame, Image

MOST_BYTES = 32 * 2**20  # of packets in memory, of each camera
_CONSEQUENCE = "this clip stops there, everything else continues"


def beside(path: Path) -> Path:
    """Where it stands what is told of a clip."""
    return path.with_suffix(".json")


def told_beside(path: Path) -> Path | None:
    """The file that tells of a clip, if there is one of ours."""
    told = beside(path)
    return told if is_told(told) else None


def is_told(path: Path) -> bool:
    """Whether a file tells of a clip of ours."""
    return begins_with(path, rb'\{"schema":\d+,"type":"clip"')


class _Studio:
    """An encoder that runs all the time; its frames need not go into any file."""

    def __init__(self, size_wh: tuple[int, int], encoding: Encoding, start_s: float) -> None:
        self.size_wh = size_wh
        # FFmpeg's "null" format writes nothing; its stream is what files are made like.
        self._nowhere = av.open(os.devnull, "w", format="null")
        self.stream: VideoStream = self._nowhere.add_stream("libx264", encoding.rate)
        self.stream.time_base = TICK
        set_up(self.stream.codec_context, size_wh, encoding)
        self._nowhere.start_encoding()
        self.frames = FrameEncoder(self.stream.codec_context, encoding, start_s)

    def close(self) -> None:
        with contextlib.suppress(*ERRORS):
            self._nowhere.close()


class _ClipFile:
    """One file of packets that were encoded elsewhere."""

    def __init__(self, path: Path, like: VideoStream) -> None:
        self.path = path.absolute()  # as in H264File
        self.begin: Moment | None = None
        self.end: Moment | None = None
        self._zero = 0
        self._file = av.open(str(self.path), "w", options=muxer_options(self.path))
        self._file.metadata["comment"] = MARK
        self._stream = self._file.add_stream_from_template(like)
        self._file.start_encoding()

    def write(self, shot: Shot) -> None:
        """Add a shot; its packet, which another file may need, stays as it is."""
        packet = Packet(bytes(shot.packet))
        if self.begin is None:
            self.begin, self._zero = shot.moment, shot.packet.pts or 0
        self.end = shot.moment
        packet.pts = packet.dts = (shot.packet.pts or 0) - self._zero
        packet.time_base, packet.stream = TICK, self._stream
        packet.is_keyframe = shot.packet.is_keyframe
        self._file.mux(packet)

    def close(self) -> None:
        """Write the index."""
        self._file.close()

    def abandon(self) -> None:
        """See `parts.Part`."""
        with contextlib.suppress(*ERRORS):
            self._file.close()


class ClipFiles(PartFiles[_ClipFile]):
    """The clips of one camera, one after another; see `PartFiles`.

    Args:
        path: what clips are named after: `parts.part_path` of a recording in segments.
        encoding: of the frames; the preset is replaced by that of `write`.
        live: whether the source is.
        inputs: files that are read; no clip overwrites one.
        most_bytes: of packets that are kept for the next clip.
    """

    def __init__(
        self,
        path: Path,
        encoding: Encoding,
        *,
        live: bool,
        inputs: Sequence[Path] = (),
        most_bytes: int = MOST_BYTES,
    ) -> None:
        super().__init__(path, _CONSEQUENCE)
        self._encoding, self._live, self._inputs = encoding, live, inputs
        self._studio: _Studio | None = None
        self._most_bytes = most_bytes
        self._kept = PreRoll(BEFORE_S, most_bytes)
        self._clip: Clip | None = None
        self._is_due = False  # the clip has no file yet

    def write(
        self, picture: Image, frame: Frame, preset: str, clip: Clip | None, utc: datetime
    ) -> None:
        """Encode one (H, W, 3) uint8 BGR image at its frame's time.

        It belongs to `clip`, None = to none; the one before is finished. It arrived at `utc`.
        """
        self._turn_to(clip)
        try:
            studio = self._studio_for(picture, frame.time_s, preset)
            if self._clip and self._is_due and (self._clip.goes_on or not self._kept):
                studio.frames.demand_key()
            for packet in studio.frames.encode(picture, frame.time_s, frame.epoch, preset):
                shot = Shot(packet, Moment(frame.time_s, utc))
                self._kept.add(shot)
                if self._part is not None:
                    self._part.write(shot)
                elif self._clip and self._is_due and (self._kept or packet.is_keyframe):
                    self._is_due = False
                    shots = list(self._kept.shots(newest_only=self._clip.goes_on))
                    self._begin(shots or [shot], studio)
        except (SinkError, *ERRORS) as error:
            self._abandon(error)

    def _studio_for(self, picture: Image, time_s: float, preset: str) -> _Studio:
        """The running encoder; another one, and nothing kept, for images of another size."""
        size_wh = picture.shape[1], picture.shape[0]
        studio = self._studio
        if studio is None or studio.size_wh != size_wh:
            if studio is not None:
                studio.close()
            encoding = replace(self._encoding, preset=preset)
            self._kept = PreRoll(BEFORE_S, self._most_bytes)
            self._studio = studio = _Studio(size_wh, encoding, time_s)
        return studio

    def _begin(self, shots: Sequence[Shot], studio: _Studio) -> None:
        """Begin a file with these shots, the last of which is the newest."""
        self._number += 1
        began: datetime | None = shots[0].moment.utc if self._live else None
        path = part_path(self._path, self._number, segments=True, began=began)
        claim(path, self._inputs, is_recording)
        claim(beside(path), [*self._inputs, path], is_told)
        try:
            self._part = _ClipFile(path, studio.stream)
        except ERRORS:
            remove_empty(path)
            raise
        for shot in shots:
            self._part.write(shot)

    def _turn_to(self, clip: Clip | None) -> None:
        if clip is not self._clip:
            self._finish()
            self._clip, self._is_due = clip, clip is not None

    def _finish(self) -> None:
        part, self._part = self._part, None
        if part is None or part.begin is None or part.end is None or self._clip is None:
            return
        try:
            part.close()
            record = self._clip.record(part.path.name, part.begin, part.end)
            write_whole(beside(part.path), to_json(record).encode() + b"\n")
        except ERRORS as error:
            self._fail(part.path, error)

    def close(self) -> None:
        """Finish the clip, which must be over; may be called again, and goes on with a frame."""
        self._turn_to(None)
