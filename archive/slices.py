"""Slices of a long film: how it is cut, and what a worker does to one of them.

A film is first indexed: the times of all its frames are read without decoding. Any frame
can then be found by seeking, with the index that it has in the whole film.
"""

import contextlib
import math
import shutil
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from archive.films import VIDEO, Film, Report, publish
from archive.jobs import FilmOptions, JobContext, check_whole
from archive.results import load_results, save_results, without_image
from archive.seams import Replay, join_slices
from drawing.hiding import STRICT, hide_faces
from files import replacing
from outputs.recording.h264 import concatenate
from outputs.recording.sink import Recording
from outputs.recording.sound import has_sound
from program.endpoints import Reporting, open_exports
from program.load import Effort
from program.options import TrackingOptions
from sources.decoding import Video, open_video, packets_of
from sources.feed import NOMINAL_FPS, Feed
from sources.files import decode_from
from structures import Frame, FrameResult
from threads import ReadAhead
from tracking import FRAME_S
from tracking.boxes import Float64
from tracking.hindsight import SPAN_S

OVERLAP_S = 2.0  # a tracker's boxes settle within some 20 frames of its start
_SEEKABLE = {"mov", "mp4", "matroska", "webm"}  # others estimate positions, and miss
_TIMES = "times.npy"


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of a film, in frames.

    Attributes:
        number: from 0.
        first: the first frame to be analysed.
        own: the first frame whose results count; before it the earlier slice's do.
        stop: one past the last frame.
        until: one past the last frame to be analysed; what follows `stop` only tells what to hide
            before it.
    """

    number: int
    first: int
    own: int
    stop: int
    until: int

    @property
    def seen(self) -> str:
        """Name of the file with the results of `analyse`."""
        return f"seen-{self.number:05}.jsonl"

    @property
    def joined(self) -> str:
        """Name of the file with the results to draw."""
        return f"joined-{self.number:05}.jsonl"

    @property
    def drawn(self) -> str:
        """Name of its recording."""
        return f"drawn-{self.number:05}.mp4"


def cut(frames: int, fps: float, slice_s: float, tracking: TrackingOptions) -> list[Slice]:
    """Cut a film of so many frames into overlapping slices of about equal length.

    Slices begin at frames where the whole image would be searched if the film were read
    whole (and its frames were evenly spaced).

    Args:
        frames: of the film.
        fps: frames per second.
        slice_s: desired length, seconds; one slice where the film is little longer.
        tracking: determines the overlap, which outlasts `max_age`, and where detection runs.
    """
    every = tracking.detect_every or max(1, math.ceil(Effort().search_s * fps - 1e-3))
    memory = (tracking.max_age + tracking.min_hits) * FRAME_S * fps + 2 * every
    overlap = math.ceil(max(OVERLAP_S * fps, memory))
    wanted = round(frames / max(slice_s * fps, 2 * overlap))
    bounds = [round(frames * i / max(wanted, 1) / every) * every for i in range(max(wanted, 1))]
    stops = [min(first + overlap, frames) for first in bounds[1:]] + [frames]
    owns = [0, *stops[:-1]]
    ahead = math.ceil(SPAN_S * fps) if tracking.blur == STRICT else 0
    untils = [min(stop + ahead, frames) for stop in stops]
    return [Slice(i, *each) for i, each in enumerate(zip(bounds, owns, stops, untils, strict=True))]


def index_film(context: JobContext, film: Film) -> int:
    """A job: save the times of all frames; returns their number, 0 where seeking is unsafe."""
    film.work.mkdir(parents=True, exist_ok=True)
    if (film.work / _TIMES).exists():
        return len(_times(film))
    with contextlib.closing(open_video(str(film.path), film.path.name)) as video:
        times = _packet_times(video)
    if times is not None:
        with replacing(film.work / _TIMES) as beside:
            np.save(beside, times)
    return 0 if times is None else len(times)


def _packet_times(video: Video) -> Float64 | None:
    """Times of all frames as of `video.media_clock`, (N,) seconds; None where in doubt."""
    if not _SEEKABLE & set(video.container.format.name.split(",")):
        return None
    start = Fraction(video.container.start_time or 0, av.time_base)  # as `media_clock` has it
    ticks = []
    try:
        for packet in packets_of(video.container, video.stream):
            if packet.size and not packet.is_discard:
                if packet.pts is None or packet.time_base is None:
                    return None
                ticks.append(packet.pts * packet.time_base)
    except av.FFmpegError:  # damaged: only reading it whole shows how much can be read
        return None
    times = np.array(sorted(float(tick - start) for tick in ticks))
    return times if len(times) and (np.diff(times) > 0).all() else None


def _times(film: Film) -> Float64:
    times: Float64 = np.load(film.work / _TIMES, allow_pickle=False)
    return times


def read_frames(film: Film, first: int, stop: int) -> Feed:
    """Open frames `first` to `stop` - 1 of an indexed film as a source; to be closed.

    Raises:
        SourceError: none of them can be decoded.
    """
    times = _times(film)

    def produce(ended: threading.Event) -> Generator[Frame, None, None]:
        address, from_s = str(film.path.absolute()), float(times[first])
        with contextlib.closing(decode_from(address, film.path.name, from_s, ended)) as frames:
            for frame in frames:
                index = int(np.searchsorted(times, frame.time_s))
                if index >= stop:
                    return
                if index >= first:
                    yield replace(frame, index=index)

    reader = ReadAhead(produce, name="slice-reader")
    return Feed(reader, name=film.path.name, fps=_mean_fps(times), frame_count=stop - first)


def analyse(context: JobContext, film: Film, options: FilmOptions, part: Slice) -> None:
    """A job: find, follow and describe the faces of a slice; saves the results.

    Raises:
        StreamError: it cannot be read, or the results not be written.
    """
    path = film.work / part.seen
    if path.exists():
        context.progress.count(part.until - part.first)
        return
    with contextlib.closing(read_frames(film, part.first, part.until)) as source:
        strict = STRICT if options.tracking.blur == STRICT else ""
        results = [without_image(each) for each in context.run(source, options, hide=strict)]
    save_results(path, [each for each in results if each.frame.index < part.stop])


def join(
    context: JobContext, film: Film, options: FilmOptions, parts: Sequence[Slice]
) -> tuple[Report, bool]:
    """A job: join the slices' results: events, people, and what is to be drawn.

    Returns:
        The report, and whether all images have the same size.

    Raises:
        SinkError: a file cannot be written.
    """
    frames, people, sizes, replay = 0, set[int](), set[tuple[int, int]](), Replay()
    with contextlib.ExitStack() as stack:
        outputs = options.outputs(film, video=False)
        sinks = open_exports(outputs, Reporting.of(outputs, context.assembly(options).confusion()))
        for sink in sinks:
            stack.callback(sink.close)
        slices = (load_results(film.work / part.seen) for part in parts)
        for part, seen in zip(parts, join_slices(slices), strict=True):
            results = [replay.smooth(each) for each in seen]
            for result in results:
                for sink in sinks:
                    sink.write(None, result)
                people |= {track.track_id for track in result.tracks}
                sizes.add(result.frame.size_wh)
            frames += len(results)
            context.progress.count(0)
            if options.video:
                drawn = [replace(result, estimates=None) for result in results]
                save_results(film.work / part.joined, drawn)
    check_whole(sinks)
    return Report(frames, len(people)), len(sizes) == 1


def draw(context: JobContext, film: Film, options: FilmOptions, parts: Sequence[Slice]) -> None:
    """A job: record the annotated frames of consecutive slices.

    The sound is recorded here only if they make up the whole film; else `finish` adds it.

    Raises:
        StreamError: the film cannot be read, or the recording not be written.
    """
    path = film.work / parts[0].drawn
    stretch = range(parts[0].own, parts[-1].stop)
    if path.exists():
        context.progress.count(len(stretch))
        return
    partial = film.work / f"partial-{parts[0].number:05}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    results = [result for part in parts for result in load_results(film.work / part.joined)]
    overlay = options.overlay
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(
            contextlib.closing(read_frames(film, stretch.start, stretch.stop))
        )
        whole = len(stretch) == len(_times(film)) and not options.anonymous
        sound_from = film.path if whole else None
        recording = Recording(partial / path.name, source.fps, sound_from=sound_from)
        stack.callback(recording.close)
        for result in _with_images(source, results, options.tracking.blur):
            recording.write(overlay.draw(result), result)
            context.progress.count()
    check_whole([recording])
    for each in sorted(partial.iterdir(), reverse=True):  # the first name last: it marks the end
        each.replace(film.work / each.name)
    partial.rmdir()


def _with_images(
    source: Iterable[Frame], results: Iterable[FrameResult], hide: str
) -> Iterator[FrameResult]:
    """Put the frames of a film back into their results, with faces hidden if `hide` is set."""
    known = {result.frame.index: result for result in results}
    for frame in source:
        result = known[frame.index]
        frame = replace(frame, epoch=result.frame.epoch)
        if hide:
            frame = hide_faces(frame, result.places, hide)
        yield replace(result, frame=frame)


def finish(
    context: JobContext,
    film: Film,
    options: FilmOptions,
    report: Report,
    drawn: Sequence[Sequence[Slice]],
) -> Report:
    """A job: concatenate the slices' recordings and move all outputs to their places.

    `report` is that of `join`; `drawn` holds the slices of each `draw`, none where no
    recording is wanted.

    Raises:
        SinkError: the outputs cannot be written.
    """
    paths = [film.work / parts[0].drawn for parts in drawn]
    if len(paths) > 1:
        audible = not options.anonymous and has_sound(film.path, Path(VIDEO).suffix)
        concatenate(paths, film.work / VIDEO, film.path if audible else None)
    elif paths:
        for path in film.work.glob(f"{paths[0].stem}*.mp4"):
            path.rename(path.with_name(path.name.replace(paths[0].stem, Path(VIDEO).stem)))
    publish(film)
    shutil.rmtree(film.work, ignore_errors=True)
    return report


def _mean_fps(times: Float64) -> float:
    """Frames a second of a film whose frames have those times, (N,) seconds."""
    return float((len(times) - 1) / (times[-1] - times[0])) if len(times) > 1 else NOMINAL_FPS
