"""The loop over frames: read, search ahead, follow, describe, hand to the outputs.

One round takes at most one frame of each camera. Searches of whole pictures, the
dearest part by far, run in a pool of threads: those of the next frames begin before the
faces of this one are described. Everything else happens here, in order. A camera
without a new frame is passed over and never waited for while another has one.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import count

import numpy as np

from detectors import Detector
from drawing.hiding import hide_faces
from drawing.overlay import Overlay
from errors import StreamError
from estimators import Estimator
from outputs import Sink
from program.load import LoadControl
from program.pipeline import Look, Pipeline, describe
from program.tally import Tally
from sources import Source
from structures import Detections, Frame, FrameResult, Image
from threads import DetectorPool

TICK_S = 0.1  # the longest wait for anything: so soon a status shows and Ctrl-C is heard
_BLANK_HW = (360, 640)  # of what is shown before the first frame


class Camera:
    """One source on its way through the stages.

    Attributes:
        source: frames come from here.
        pipeline: what is known of the people in front of it.
        tally: what has gone by.
        name: told with each result where there are several cameras; else empty.
        latest: the last result, or an empty one before the first.
        ended: no frame will come any more.
    """

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        name: str = "",
        max_frames: int | None = None,
        hide: str = "",
    ) -> None:
        """Put a source and its pipeline together.

        Args:
            source: frames come from here.
            pipeline: its own; with `FacePlaces` where faces are to be hidden.
            name: where there are several cameras.
            max_frames: ends it early.
            hide: a way of `drawing.hiding.HIDING`; empty = faces are shown.
        """
        self.source, self.pipeline, self.name = source, pipeline, name
        self.tally = Tally()
        self._hide = hide
        blank = Frame(np.zeros((*_BLANK_HW, 3), np.uint8), 0, 0.0)
        self.latest = FrameResult(blank, status=source.status, camera=name)
        self.ended = False
        self._left = iter(count() if max_frames is None else range(max_frames))
        self._ahead: deque[tuple[Frame, Future[Detections] | None]] = deque()
        self._error: StreamError | None = None
        self._told_s = time.monotonic()

    def fetch(self, crew: DetectorPool[Detector]) -> None:
        """Take the frames that there is room for, and begin the searches that are due.

        A live source is asked for its newest frame and not waited for; of a film as many
        are read ahead as the crew can search.
        """
        room = 2 if self.source.is_live else 2 + crew.size
        while not self.ended and len(self._ahead) < room:
            try:
                frame = self.source.take(0.0 if self.source.is_live else TICK_S)
            except StopIteration:
                self.ended = True
                return
            except StreamError as error:  # what came before is still worth having
                self.ended, self._error = True, error
                return
            if frame is None:
                return
            if next(self._left, None) is None:
                self.ended = True
                return
            search = None
            if self.pipeline.wants_search(frame):
                search = crew.submit(partial(self.pipeline.search, frame))
            self._ahead.append((frame, search))

    @property
    def pending(self) -> Future[Detections] | None:
        """The search that the next frame waits for, None if there is none."""
        return self._ahead[0][1] if self._ahead else None

    @property
    def waits(self) -> bool:
        """Whether there is no frame to go on with.

        Raises:
            StreamError: and there will be none, because the source broke off.
        """
        if self._error is not None and not self._ahead:
            raise self._error
        return not self._ahead

    def next_look(self) -> Look | None:
        """Follow the faces into the next frame, if there is one and its search is done."""
        if not self._ahead or (self._ahead[0][1] and not self._ahead[0][1].done()):
            return None
        frame, search = self._ahead.popleft()
        return self.pipeline.follow(frame, search.result() if search else None)

    def finish(self, look: Look) -> FrameResult:
        """Count a look that has been described and put together what is known."""
        tracks, people = self.pipeline.result(look)
        self.tally.count(look.frame, tracks)
        frame = look.frame
        if self._hide:  # before anything else sees the picture
            frame = hide_faces(frame, look.places, self._hide)
        self.latest = FrameResult(
            frame,
            tracks,
            people,
            self.tally.fps,
            self.source.dropped,
            self.source.status,
            self.pipeline.effort.label,
            self.name,
        )
        self._told_s = time.monotonic()
        return self.latest

    def summary(self) -> str:
        """One line for the end of the run."""
        smoother = self.pipeline.smoother
        return self.tally.summary(smoother.estimates_made, smoother.estimates_saved)

    def overdue(self) -> FrameResult | None:
        """The last result with the source's status of now, where nothing new came for a tick."""
        now_s = time.monotonic()
        if self.ended or now_s - self._told_s < TICK_S:
            return None
        self._told_s = now_s
        self.latest = replace(self.latest, status=self.source.status)
        return self.latest


class Loop:
    """Runs cameras through one estimator into the outputs.

    Args:
        cameras: at least one.
        crew: detectors for the searches of whole pictures.
        estimator: the one that the cameras' pipelines were made with.
        sinks: where results go.
        overlay: draws them.
        control: chooses the effort for live sources; None = always full.
        arrived: set by live sources whenever they have a frame, see `LiveOptions`.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        crew: DetectorPool[Detector],
        estimator: Estimator,
        sinks: Sequence[Sink],
        overlay: Overlay,
        control: LoadControl | None = None,
        arrived: threading.Event | None = None,
    ) -> None:
        self._arrived = arrived or threading.Event()
        self._cameras, self._crew, self._estimator = cameras, crew, estimator
        self._sinks, self._overlay, self._control = sinks, overlay, control

    @property
    def shows_photographs(self) -> bool:
        """Whether all there was to see were photographs, and all of them were shown."""
        return all(
            camera.tally.frames == camera.source.frame_count and not camera.tally.is_film
            for camera in self._cameras
        )

    @property
    def ended(self) -> bool:
        """Whether all sources came to their end."""
        return all(camera.ended for camera in self._cameras)

    def linger(self) -> None:
        """Keep the last results before the sinks' eyes, for ever or until one is closed."""
        while not any(sink.closed for sink in self._sinks):
            for camera in self._cameras:
                self._refresh(camera.latest)
            time.sleep(TICK_S)

    def summary(self) -> str:
        """One line for the end of the run; for each camera, where there are several."""
        return "\n".join(
            f"{camera.name}: {camera.summary()}" if camera.name else camera.summary()
            for camera in self._cameras
        )

    def run(self) -> Iterator[FrameResult]:
        """Yield each result once it has been written, until all sources end or a sink closes."""
        while not any(sink.closed for sink in self._sinks):
            self._arrived.clear()
            for camera in self._cameras:
                camera.fetch(self._crew)
            if all(camera.waits for camera in self._cameras):
                if all(camera.ended for camera in self._cameras):
                    return
                self._arrived.wait(TICK_S)
            yield from self._round()
            for camera in self._cameras:
                if (result := camera.overdue()) is not None:
                    self._refresh(result)

    def _round(self) -> Iterator[FrameResult]:
        """Go on with every camera whose next frame is ready; wait a tick where none is."""
        searches = [camera.pending for camera in self._cameras if not camera.waits]
        if searches and searches[0] and None not in searches:
            # Not `concurrent.futures.wait`: Ctrl-C in the middle of it leaves locks behind.
            with contextlib.suppress(TimeoutError):
                searches[0].exception(TICK_S)
        looks = [(camera, camera.next_look()) for camera in self._cameras]
        ready = [(camera, look) for camera, look in looks if look is not None]
        for camera, _ in ready:  # their next searches run while these faces are described
            camera.fetch(self._crew)
        describe(self._estimator, [(camera.pipeline, look) for camera, look in ready])
        for camera, look in ready:
            result = camera.finish(look)
            picture = self._picture(result)
            for sink in self._sinks:
                sink.write(picture if sink.wants_picture else None, result)
            self._note(result)
            yield result

    def _refresh(self, result: FrameResult) -> None:
        picture = self._picture(result)
        for sink in self._sinks:
            sink.refresh(picture if sink.wants_picture else None, result)

    def _picture(self, result: FrameResult) -> Image | None:
        wanted = any(sink.wants_picture for sink in self._sinks)
        return self._overlay.draw(result) if wanted else None

    def _note(self, result: FrameResult) -> None:
        """Let the control see how late a frame is now, and all cameras follow it."""
        now_s = time.monotonic()
        latency_ms = result.latency_ms(now_s)
        if self._control is None or latency_ms is None:
            return
        self._control.note(latency_ms, now_s)
        for camera in self._cameras:
            camera.pipeline.effort = self._control.effort
