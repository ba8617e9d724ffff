"""The one place where stages are put together: detector, tracker, estimator, smoother, pipeline."""

import argparse
import contextlib
import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from detectors import MIN_FACE, STRICT_FACE, Detector, make_detector
from drawing.hiding import STRICT
from drawing.overlay import Overlay
from errors import WeightsError
from estimators import DEFAULT, Estimator, make_estimator
from estimators.embedders import Embedder, make_embedder
from estimators.weights import Confusion, find_weights
from outputs import Sink
from program.cameras import Camera, SourceOptions, find_cameras, names_of, open_cameras
from program.law import check_purpose
from program.load import LoadControl
from program.loop import Channel, Loop
from program.options import (
    USUAL_MODELS,
    USUAL_TRACKING,
    MemoryOptions,
    ModelOptions,
    TrackingOptions,
    collect,
)
from program.pipeline import Pipeline
from program.recognition import Recognition
from sources import Source
from threads import DetectorPool
from tracking import Tracker
from tracking.places import FacePlaces
from tracking.poses import PoseSmoother
from tracking.recall import Recall
from tracking.smoothing import TrackSmoother

log = logging.getLogger(__name__)

MOST_SEARCHES = 4  # at a time; more barely help, and each holds an image


@dataclass(frozen=True, slots=True)
class Assembly:
    """Makes the stages that the options ask for; several channels may share the networks.

    Tests and benchmarks hand in their own `make_detector` and `make_estimator`.
    """

    models: ModelOptions = USUAL_MODELS
    tracking: TrackingOptions = USUAL_TRACKING
    make_detector: Callable[..., Detector] = make_detector
    make_estimator: Callable[..., Estimator] = make_estimator
    make_embedder: Callable[..., Embedder] = make_embedder

    def __post_init__(self) -> None:
        """Warn of options that have no effect with this detector."""
        models = self.models
        if models.upsample and models.detector != "dlib":
            log.warning("--upsample has no effect with --detector %s", models.detector)
        if models.min_face != MIN_FACE and models.detector == "dlib":
            log.warning("--min-face has no effect with --detector dlib")

    def detector(self, threads: int = 1) -> Detector:
        """Make a detector that uses `threads` threads, 0 = one per core.

        Where faces are to be hidden it reports doubtful faces, too; where strictly, very doubtful
        and small ones.
        """
        models, strict = self.models, self.tracking.blur == STRICT
        return self.make_detector(
            models.detector,
            min_face=min(models.min_face, STRICT_FACE) if strict else models.min_face,
            upsample=models.upsample,
            threads=threads,
            keen=2 if strict else int(bool(self.tracking.blur)),
            device=models.device,
            precision=models.precision,
        )

    def estimator(self) -> Estimator:
        """Make the estimator.

        Raises:
            WeightsError: weights missing, damaged, or without an ethnicity that was asked for.
            EngineError: engine not installed, or without the device or precision.
        """
        models = self.models
        estimator = self.make_estimator(
            models.estimator,
            models.weights,
            engine=models.engine,
            threads=models.threads,
            device=models.device,
            precision=models.precision,
        )
        if "ethnicity" in models.attributes and not estimator.has_ethnicity:
            raise WeightsError(
                f"the weights of --estimator {models.estimator} do not estimate ethnicity; "
                f"leave it out of --attributes or use --estimator {DEFAULT}"
            )
        return estimator

    def confusion(self) -> Confusion | None:
        """How often the estimator takes one group of people for another; None = unknown.

        Raises:
            WeightsError: as in `estimator`.
        """
        return find_weights(self.models.weights, self.models.estimator).confusion

    def recognition(self, options: MemoryOptions) -> Recognition | None:
        """Make what recognises people who come back; None where that is not asked for.

        Raises:
            WeightsError: the network is not installed, or damaged.
        """
        if options.remember is None:
            return None
        # One thread: the same answers whatever --threads is, and the loop goes on beside it.
        return Recognition(options.remember, self.make_embedder("dlib", threads=1))

    def pool(self) -> DetectorPool[Detector]:
        """Make the threads that search whole images, each with a detector of its own."""
        size = self.models.threads or min(os.cpu_count() or 1, MOST_SEARCHES)
        return DetectorPool(self.detector, size)

    def tracker(self, detector: Detector, ids: Iterator[int] | None = None) -> Tracker:
        """Make a tracker for what `detector` finds; `ids` may be shared with other trackers."""
        from tracking.sort import SortTracker  # scipy is slow to import

        return SortTracker(
            self.tracking.max_age,
            self.tracking.min_hits,
            start_score=detector.starting_score,
            ids=ids or itertools.count(1),
        )

    def pipeline(
        self,
        detector: Detector,
        estimator: Estimator,
        ids: Iterator[int] | None = None,
        recall: Recall | None = None,
        attention: bool = False,
    ) -> Pipeline:
        """Put networks, a new tracker and a new smoother together."""
        return Pipeline(
            detector,
            self.tracker(detector, ids),
            estimator,
            TrackSmoother(),
            detect_every=self.tracking.detect_every,
            ethnicity="ethnicity" in self.models.attributes,
            places=FacePlaces() if self.tracking.blur else None,
            recall=recall,
            poses=PoseSmoother() if attention else None,
        )

    def _following(self, tracking: TrackingOptions) -> "Assembly":
        return self if tracking == self.tracking else replace(self, tracking=tracking)

    def channels(
        self,
        cameras: Sequence[Camera],
        sources: Sequence[Source],
        estimator: Estimator,
        recognition: Recognition | None = None,
        attention: bool = False,
    ) -> list[Channel]:
        """Make a channel of each camera, with its own tracker and smoother; ids are unique.

        One alone has no name in records and topics, unless the user gave it one.
        """
        detector, ids = self.detector(), itertools.count(1)

        def pipeline(camera: Camera, source: Source) -> Pipeline:
            recall = recognition.recall(ids, source.is_live) if recognition else None
            assembly = self._following(camera.tracking)
            return assembly.pipeline(detector, estimator, ids, recall, attention)

        return [
            Channel(
                source,
                pipeline(camera, source),
                name,
                max_frames=camera.source.max_frames,
                hide=camera.tracking.blur,
            )
            for camera, name, source in zip(cameras, names_of(cameras), sources, strict=True)
        ]


def open_loop(
    texts: Sequence[str],
    options: argparse.Namespace,
    sinks: Sequence[Sink],
    stack: contextlib.ExitStack,
) -> Loop:
    """Open sources and put the loop over them together, for the library; `stack` closes all.

    Args:
        texts: as `--src` takes them.
        options: those of stream.py, settled.
        sinks: receive the results.
        stack: ended by the caller.

    Raises:
        StreamError: a source cannot be opened, weights or engine are missing.
    """
    source, tracking = collect(SourceOptions, options), collect(TrackingOptions, options)
    cameras = find_cameras([(text, source, tracking) for text in texts])
    options.src = [camera.address for camera in cameras]
    check_purpose(options)
    assembly, arrived = Assembly(collect(ModelOptions, options), tracking), threading.Event()
    pool = assembly.pool()
    stack.callback(pool.close)
    sources = open_cameras(cameras, stack, arrived)
    check_purpose(options, sources)
    estimator = assembly.estimator()
    recognition = assembly.recognition(collect(MemoryOptions, options))
    if recognition:
        stack.callback(recognition.close)
    channels = assembly.channels(cameras, sources, estimator, recognition)
    overlay, control = Overlay(), LoadControl(options.max_latency)
    return Loop(channels, pool, estimator, sinks, overlay, control, arrived)
