"""Jobs of a worker, and what they report.

A job is a function of this package and its arguments. `run_job` calls it in a worker and
turns every exception into an `Outcome`, because not all can be sent between processes. A
worker keeps its networks from one job to the next.
"""

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import cv2

from archive.films import EVENTS, PEOPLE, VIDEO, Film, Report, publish
from detectors import Detector
from drawing.overlay import USUAL_STYLE, Overlay, Style
from errors import StreamError
from estimators import Estimator
from outputs import Sink, failure_of
from program.assemble import Assembly
from program.endpoints import OutputOptions, Reporting, open_files
from program.loop import Channel, Loop
from program.options import USUAL_MODELS, USUAL_TRACKING, ModelOptions, TrackingOptions
from sources import Source
from sources.open import open_source
from structures import FrameResult
from threads import DetectorPool

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FilmOptions:
    """What is wanted of every film.

    Attributes:
        models: as in stream.py.
        tracking: as in stream.py.
        anonymous: only groups are reported; no table of people, no sound.
        video: whether to record the annotated film.
        style: how boxes and labels look.
        lawful_purpose: as in stream.py; it stands in the records.
    """

    models: ModelOptions = USUAL_MODELS
    tracking: TrackingOptions = USUAL_TRACKING
    anonymous: bool = False
    video: bool = True
    style: Style = USUAL_STYLE
    lawful_purpose: str | None = None

    @property
    def overlay(self) -> Overlay:
        """What is drawn over the frames."""
        attributes = self.models.attributes
        return Overlay(False, attributes, self.style, anonymous=self.anonymous)

    def outputs(self, film: Film, video: bool) -> OutputOptions:
        """The files to write in the film's work folder, with or without the recording."""
        return OutputOptions(
            output=str(film.work / VIDEO) if video else None,
            events=str(film.work / EVENTS),
            people=None if self.anonymous else str(film.work / PEOPLE),
            attributes=self.models.attributes,
            anonymous=self.anonymous,
            lawful_purpose=self.lawful_purpose,
        )


class Stopped(Exception):
    """The run was stopped; a job raises it where it notices."""


class Progress(Protocol):
    """Counts the frames of a job; `count` raises `Stopped` once the run was stopped."""

    def count(self, frames: int = 1) -> None: ...  # noqa: D102

    def flush(self) -> None:
        """Pass on what has been counted."""
        ...


class Networks(NamedTuple):
    """What the jobs of one worker share."""

    detector: Detector
    estimator: Estimator
    pool: DetectorPool[Detector]


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a job receives from the worker that it runs in.

    Attributes:
        progress: receives the frame count.
        make_assembly: tests hand in their own.
    """

    progress: Progress
    make_assembly: Callable[[ModelOptions, TrackingOptions], Assembly] = Assembly

    def assembly(self, options: FilmOptions) -> Assembly:
        """The assembly that makes the stages."""
        return self.make_assembly(options.models, options.tracking)

    def run(
        self, source: Source, options: FilmOptions, sinks: Sequence[Sink] = (), hide: str = ""
    ) -> Iterator[FrameResult]:
        """Run a film or a part of it through the same loop as stream.py.

        `hide` is out of `drawing.hiding.HIDING`; empty = the sinks see faces.

        Yields:
            The result of each frame, once the sinks have it.
        """
        assembly = self.assembly(options)
        detector, estimator, pool = load_networks(assembly)
        pipeline = assembly.pipeline(detector, estimator)
        channel = Channel(source, pipeline, hide=hide, shows_rate=False)
        for result in Loop([channel], pool, estimator, sinks, options.overlay).run():
            self.progress.count()
            yield result


@lru_cache(maxsize=1)
def load_networks(assembly: Assembly) -> Networks:
    """Load the networks of a worker; they are kept for its next job."""
    cv2.setNumThreads(assembly.models.threads or -1)  # -1 = OpenCV's default
    return Networks(assembly.detector(), assembly.estimator(), assembly.pool())


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a job.

    Attributes:
        value: what it returned.
        error: one line on why it failed, empty where it did not.
        began_s: `time.time()`, which unlike other clocks is the same on all machines.
        ended_s: likewise.
        notes: warnings that were logged meanwhile.
    """

    value: Any = None
    error: str = ""
    began_s: float = 0.0
    ended_s: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """A film's number of frames as stated by its header, length and frames per second."""

    frames: int
    seconds: float
    fps: float


def run_job(context: JobContext, job: Callable[..., Any], arguments: tuple[Any, ...]) -> Outcome:
    """Call `job(context, *arguments)` in a worker."""
    began_s = time.time()
    value, error = None, ""
    with _noted_warnings() as notes:
        try:
            value = job(context, *arguments)
        except StreamError as problem:
            error = str(problem)
        except Stopped:
            error = "stopped"
        except Exception as problem:  # a bug costs one film, not the archive
            log.info("unexpected", exc_info=True)
            text = " ".join(str(problem).split())
            error = f"{type(problem).__name__}: {text}; run stream.py on it to see more"
        context.progress.flush()
    return Outcome(value, error, began_s, time.time(), tuple(dict.fromkeys(notes)))


@contextlib.contextmanager
def _noted_warnings() -> Iterator[list[str]]:
    """Collect warnings instead of printing them over the progress bar."""
    notes: list[str] = []

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notes.append(record.getMessage())

    root, handler = logging.getLogger(), Notes(logging.WARNING)
    before, root.handlers = root.handlers, [handler]
    try:
        yield notes
    finally:
        root.handlers = before


def check_models(context: JobContext, options: FilmOptions) -> None:
    """A job: load the networks, so that problems show before the first film.

    Raises:
        WeightsError: weights missing, damaged, or without what is asked for.
        EngineError: engine not installed.
    """
    load_networks(context.assembly(options))


def look_at(context: JobContext, film: Film) -> FilmFacts:
    """A job: open a film and read its length.

    Raises:
        SourceError: it is no film, or damaged from the start.
    """
    with contextlib.closing(open_source(str(film.path))) as source:
        frames = source.frame_count or 1
        return FilmFacts(frames, frames / source.fps, source.fps)


def annotate(context: JobContext, film: Film, options: FilmOptions) -> Report:
    """A job: annotate one film from beginning to end.

    Raises:
        StreamError: it cannot be read, or an output not be written. Nothing is left of it.
    """
    shutil.rmtree(film.work, ignore_errors=True)
    film.work.mkdir(parents=True)
    try:
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(contextlib.closing(open_source(str(film.path))))
            outputs = options.outputs(film, options.video)
            report = Reporting.of(outputs, context.assembly(options).confusion())
            recordings, exports = open_files(outputs, [source], [film.path], report)
            sinks: list[Sink] = [*recordings, *exports]
            for sink in sinks:
                stack.callback(sink.close)
            frames, people = 0, set[int]()
            for result in context.run(source, options, sinks, hide=options.tracking.blur):
                frames += 1
                people |= {track.track_id for track in result.tracks}
        check_whole(sinks)
        publish(film)
    finally:
        shutil.rmtree(film.work, ignore_errors=True)
    return Report(frames, len(people))


def check_whole(sinks: Sequence[Sink]) -> None:
    """Raise the SinkError of a closed sink that failed: the rest continued."""
    for sink in sinks:
        if problem := failure_of(sink):
            raise problem
