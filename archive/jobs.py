"""What one worker does at a time, and how it tells of it.

A job is a function of this package and its arguments; `run_job` calls it in a worker
and turns whatever happens into an `Outcome`, because exceptions lose their way between
processes. Engines are kept from one job of a worker to the next.
"""

import argparse
import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import cv2

from archive.films import EVENTS, PEOPLE, VIDEO, Film, Report, publish
from detectors import Detector, make_detector
from drawing.overlay import Overlay
from errors import StreamError
from estimators import Estimator, make_estimator
from outputs import Sink
from outputs.jsonl import EventsWriter
from outputs.recording.sink import Recording
from people.crowd import Crowd
from people.records import Recorder
from people.table import PeopleWriter
from program.options import check_ethnicity
from program.pipeline import Pipeline
from sources.open import open_source
from structures import FrameResult
from tracking import MAX_AGE, MIN_HITS
from tracking.smoothing import TrackSmoother
from tracking.sort import SortTracker

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """What is wanted of every film; the program's options of the same names.

    Attributes:
        video: whether to record the annotated picture.
    """

    detector: str = "mtcnn"
    min_face: int = 40
    upsample: int = 0
    estimator: str = "mobilenetv2"
    weights: str | None = None
    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int = 1
    attributes: tuple[str, ...] = ("age", "gender")
    detect_every: int | None = None
    max_age: int = MAX_AGE
    min_hits: int = MIN_HITS
    video: bool = True


class Stopped(Exception):
    """The run was broken off; a job raises it where it notices."""


class Progress(Protocol):
    """Hears how far a job is; `count` raises `Stopped` once the run was broken off."""

    def count(self, frames: int = 1) -> None: ...  # noqa: D102

    def flush(self) -> None:
        """Pass on what has been counted."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job.

    Attributes:
        value: what it returned.
        error: one line on why it failed, empty where it did not.
        began_s: `time.time()` when it began; with `ended_s`, because machines differ in
            their other clocks.
        notes: warnings that were logged meanwhile.
    """

    value: Any = None
    error: str = ""
    began_s: float = 0.0
    ended_s: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What a film says of itself: frames promised, seconds, frames per second."""

    frames: int
    seconds: float
    fps: float


def run_job(progress: Progress, job: Callable[..., Any], arguments: tuple[Any, ...]) -> Outcome:
    """Call `job(progress, *arguments)` in a worker."""
    began_s = time.time()
    value, error = None, ""
    with _noted_warnings() as notes:
        try:
            value = job(progress, *arguments)
        except StreamError as problem:
            error = str(problem)
        except Stopped:
            error = "stopped"
        except Exception as problem:  # a bug costs one film, not the archive
            log.info("unexpected", exc_info=True)
            text = " ".join(str(problem).split())
            error = f"{type(problem).__name__}: {text}; run stream.py on it to see more"
        progress.flush()
    return Outcome(value, error, began_s, time.time(), tuple(dict.fromkeys(notes)))


@contextlib.contextmanager
def _noted_warnings() -> Iterator[list[str]]:
    """Collect what is logged as a warning instead of printing it over the progress bar."""
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


@lru_cache(maxsize=1)
def load_models(settings: Settings) -> tuple[Detector, Estimator]:
    """The engines that `settings` name; kept for the next job.

    Raises:
        WeightsError: weights missing, damaged, or without what is asked for.
        EngineError: engine not installed.
    """
    cv2.setNumThreads(settings.threads)
    where = settings.device, settings.precision
    detector = make_detector(
        settings.detector, settings.min_face, settings.upsample, settings.threads, False, *where
    )
    estimator = make_estimator(
        settings.estimator, settings.weights, settings.engine, settings.threads, *where
    )
    asked = argparse.Namespace(attributes=settings.attributes, estimator=settings.estimator)
    check_ethnicity(asked, estimator)
    return detector, estimator


def new_pipeline(settings: Settings, smoother: TrackSmoother) -> Pipeline:
    """A pipeline without a past on the engines of this worker."""
    detector, estimator = load_models(settings)
    score = detector.starting_score
    tracker = SortTracker(settings.max_age, settings.min_hits, start_score=score)
    ethnicity = "ethnicity" in settings.attributes
    return Pipeline(detector, tracker, estimator, smoother, settings.detect_every, ethnicity)


def check_models(progress: Progress, settings: Settings) -> None:
    """A job: load the engines, to find out about wrong ones before the first film."""
    load_models(settings)


def look_at(progress: Progress, film: Film) -> Look:
    """A job: open a film and see how long it is.

    Raises:
        SourceError: it is no film, or damaged from the start.
    """
    with contextlib.closing(open_source(str(film.path))) as source:
        frames = source.frame_count or 1
        return Look(frames, frames / source.fps, source.fps)


def open_tables(film: Film, settings: Settings) -> list[Sink]:
    """The sinks for events and people, in the film's work folder."""
    crowd = Crowd(settings.attributes)
    return [
        EventsWriter(film.work / EVENTS, Recorder(crowd)),
        PeopleWriter(film.work / PEOPLE, crowd),
    ]


def annotate(progress: Progress, film: Film, settings: Settings) -> Report:
    """A job: one film from its beginning to its end.

    Raises:
        StreamError: it cannot be read, or what comes of it not be written. Nothing is left.
    """
    shutil.rmtree(film.work, ignore_errors=True)
    film.work.mkdir(parents=True)
    frames, people = 0, set[int]()
    try:
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(contextlib.closing(open_source(str(film.path))))
            pipeline = new_pipeline(settings, TrackSmoother())
            sinks = open_tables(film, settings)
            recording = Recording(film.work / VIDEO, source.fps) if settings.video else None
            if recording:
                sinks.append(recording)
            for sink in sinks:
                stack.callback(sink.close)
            overlay = Overlay(attributes=settings.attributes)
            for frame in source:
                tracks, known = pipeline.process(frame)
                result = FrameResult(frame, tracks, known)
                picture = overlay.draw(result) if settings.video else None
                for sink in sinks:
                    sink.write(picture, result)
                frames += 1
                people |= {track.track_id for track in tracks}
                progress.count()
        if recording and recording.failed:  # it lets all else go on, even on a full disk
            raise recording.failed
        publish(film)
    finally:
        shutil.rmtree(film.work, ignore_errors=True)
    return Report(frames, len(people))
