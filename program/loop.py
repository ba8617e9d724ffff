"""The loop over frames: read, search ahead, follow, describe, hand to the outputs.

One round takes at most one frame of each channel. Searches of whole images, by far the most
expensive part, run in a pool of threads: those of the next frames begin before the faces of
this one are described. Everything else happens here, in order. A channel without a new frame
is skipped while another has one.
"""

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import numpy as np

from detectors import Detector
from drawing.hiding import STRICT, hide_faces
from drawing.overlay import Overlay, clock_text
from errors import StreamError
from estimators import Estimator
from outputs import Sink
from program.delay import Delay
from program.load import LoadControl
from program.pipeline import Look, Pipeline, describe
from sources import Source
from structures import Detections, Frame, FrameResult, Image, SourceState, SourceStatus
from threads import DetectorPool

TICK_S = 0.1  # the longest wait for anything: within it a status shows and Ctrl-C acts
_BLANK_HW = (360, 640)  # of the image shown before the first frame
_RATE_S = 1.0  # over which the frame rate is averaged
_PAUSE_S = 5.0  # a longer wait between frames is a pause and not counted


class Tally:
    """Counts frames and tracks since the run began; its size does not grow.

    Attributes:
        frames: frames counted.
        fps: frames per second over the last second, without pauses; 0 while unknown.
        tracks: confirmed tracks so far.
        is_film: whether any frame continued the one before; photographs never do.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.frames = 0
        self.fps = 0.0
        self.tracks = 0
        self.is_film = False
        self._latest = clock()
        self._running_s = 0.0
        self._intervals_s: deque[float] = deque()
        self._epoch: int | None = None
        self._here: set[int] = set()

    def count(self, frame: Frame, here: set[int]) -> None:
        """Count one processed frame and the ids of the tracks that live in it."""
        now = self._clock()
        interval_s, self._latest = now - self._latest, now
        if interval_s < _PAUSE_S:
            self._running_s += interval_s
            if self.frames:
                self._intervals_s.append(interval_s)
                while sum(self._intervals_s) - self._intervals_s[0] > _RATE_S:
                    self._intervals_s.popleft()
                self.fps = len(self._intervals_s) / max(sum(self._intervals_s), 1e-9)
        self.frames += 1
        self.is_film |= frame.epoch == self._epoch
        self._epoch = frame.epoch
        self.tracks += len(here - self._here)
        self._here = here

    def summary(self, estimates_made: int, estimates_saved: int) -> str:
        """One line for the end of the run."""
        seconds = self._running_s
        fps = self.frames / max(seconds, 1e-9)
        share = 100 * estimates_saved / max(estimates_made + estimates_saved, 1)
        return (
            f"{self.frames} frames in {seconds:.1f} s ({fps:.1f} frames/s), "
            f"{self.tracks} tracks; {estimates_made} estimates, "
            f"{estimates_saved} saved on settled tracks ({share:.0f} %)"
        )


class Channel:
    """One source with its pipeline.

    Args:
        source: frames come from here.
        pipeline: of this source only; with `FacePlaces` where faces are to be hidden.
        name: put into each result where there are several channels; else empty.
        max_frames: ends it early.
        hide: a way of `drawing.hiding.HIDING`; empty = faces are shown.
        shows_rate: whether results carry the frame rate, which is the program's own.

    Attributes:
        tally: counts its frames and tracks.
        latest: the last result, or an empty one before the first.
        ended: no further frame will come.
        last_words: what the outputs tell once it has ended.
    """

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        name: str = "",
        max_frames: int | None = None,
        hide: str = "",
        shows_rate: bool = True,
    ) -> None:
        self.source, self.pipeline, self.name = source, pipeline, name
        self.tally = Tally()
        self._hide, self._shows_rate = hide, shows_rate
        blank = Frame(np.zeros((*_BLANK_HW, 3), np.uint8), 0, 0.0)
        self.latest = FrameResult(blank, status=source.status, camera=name)
        self.ended, self.last_words = False, ""
        self._left = max_frames
        self._ahead: deque[tuple[Frame, Future[Detections] | None]] = deque()
        self._ready: list[FrameResult] = []
        sure, is_live = pipeline.detector.starting_score, source.is_live
        self._delay = Delay(sure, is_live) if hide == STRICT else None
        self._error: StreamError | None = None
        self._sought_s: float | None = None
        self._refreshed_s = time.monotonic()

    @property
    def hides(self) -> bool:
        """Whether faces are hidden now."""
        return bool(self._hide)

    def hide(self, kind: str) -> None:
        """Hide faces in the frames to come, by a way of `HIDING`; empty shows them again."""
        self._hide, self.pipeline.hides = kind, bool(kind)

    def fetch(self, pool: DetectorPool[Detector], wait_s: float) -> None:
        """Take the frames that fit, and begin the searches that are due.

        Of a live source the newest frame is taken without waiting; of a film as many are read
        ahead as the pool can search, each waited for `wait_s` seconds at most.
        """
        room = 2 if self.source.is_live else 2 + pool.size
        while not self.ended and len(self._ahead) < room:
            try:
                frame = self.source.take(0.0 if self.source.is_live else wait_s)
            except StopIteration:
                self.ended = True
                return
            except StreamError as error:  # raised once the frames before it are processed
                self.ended, self._error = True, error
                return
            if frame is None:
                return
            search, frame = None, self.pipeline.begin(frame)
            if self.pipeline.wants_search(frame):
                search = pool.submit(partial(self.pipeline.search, frame))
            self._ahead.append((frame, search))
            if self._left is not None:
                self._left -= 1
                self.ended = self._left < 1

    def seek(self, step_s: float) -> float | None:
        """Go on in a film, or back where `step_s` < 0; returns the new place, None = it cannot.

        Steps that come before the next frame add up. Results go on in a new epoch.
        """
        from_s = self.latest.frame.time_s if self._sought_s is None else self._sought_s
        end_s = (self.source.frame_count or math.inf) / self.source.fps - 1
        to_s = max(0.0, min(from_s + step_s, end_s))
        if not self.source.seek(to_s):
            return None
        self._sought_s, self.ended = to_s, False
        self._ahead.clear()
        if self._delay:
            self._delay.clear()
        return to_s

    @property
    def _status(self) -> SourceStatus:
        """The source's; a camera that has disconnected is still connected for frames in hand."""
        status = self.source.status
        return replace(status, connected=True) if self._ahead else status

    @property
    def _holds(self) -> bool:
        return self._delay is not None and (self._delay.holds_any or bool(self._ahead))

    @property
    def pending(self) -> Future[Detections] | None:
        """The search that the next frame waits for, if any."""
        return self._ahead[0][1] if self._ahead else None

    @property
    def waits(self) -> bool:
        """Whether no frame is ready; raises StreamError once none will come after an error."""
        if self._error is not None and not self._ahead and not self._holds:
            raise self._error
        return not self._ahead

    def next_look(self) -> Look | None:
        """Follow the faces into the next frame, if there is one and its search is done."""
        if not self._ahead or (self._ahead[0][1] and not self._ahead[0][1].done()):
            return None
        frame, search = self._ahead.popleft()
        return self.pipeline.follow(frame, search.result() if search else None)

    def finish(self, look: Look) -> None:
        """Count a look that has been described and put its result together, for `released`."""
        tracks, people = self.pipeline.result(look)
        self.tally.count(look.frame, {track.track_id for track in tracks} | look.remembered)
        frame, self._sought_s = look.frame, None
        kind = "" if self._delay else self._hide  # once: another thread changes it
        if kind:  # before anything else sees the image
            frame = hide_faces(frame, look.places, kind)
        result = FrameResult(
            frame,
            tracks,
            people,
            fps=self.tally.fps if self._shows_rate else 0.0,
            dropped=self.source.dropped,
            status=self._status,
            load=self.pipeline.effort.label,
            camera=self.name,
            places=look.places,
            estimates=look.estimates,
            remembered=look.remembered,
            poses=look.poses,
            raw=look.raw,
            hidden=bool(kind),
        )
        if self._delay is None:
            self._ready.append(result)
        else:
            self._delay.put(result, look.found)

    def released(self) -> Iterator[FrameResult]:
        """Yield the results that may go to the outputs now, in order."""
        ready, self._ready = self._ready, []
        for result in self._delay.due(self.ended and not self._ahead) if self._delay else ready:
            self.latest, self._refreshed_s = result, time.monotonic()
            yield result

    def summary(self) -> str:
        """One line for the end of the run."""
        smoother = self.pipeline.smoother
        return self.tally.summary(smoother.estimates_made, smoother.estimates_saved)

    def overdue(self) -> FrameResult | None:
        """The last result with the source's current status, if nothing new came for a tick."""
        now_s = time.monotonic()
        if now_s - self._refreshed_s < TICK_S or (self.ended and (self._ahead or self._holds)):
            return None
        self._refreshed_s = now_s
        if not self._holds:  # else there are images to come, of the status of then
            self.latest = replace(self.latest, status=self._status)
        if self.ended:
            status = SourceStatus(SourceState.ENDED, self.last_words)
            self.latest = replace(self.latest, status=status, fps=0.0, load="")
        return self.latest


class Loop:
    """Runs channels through one estimator into the sinks.

    Args:
        channels: at least one.
        pool: detectors for the searches of whole images.
        estimator: the one of the channels' pipelines.
        sinks: receive the results.
        overlay: draws them.
        control: chooses the effort for live sources; None = always full.
        arrived: set by live sources whenever they have a frame, see `LiveOptions`.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        pool: DetectorPool[Detector],
        estimator: Estimator,
        sinks: Sequence[Sink],
        overlay: Overlay,
        control: LoadControl | None = None,
        arrived: threading.Event | None = None,
    ) -> None:
        self._arrived = arrived or threading.Event()
        self._channels, self._pool, self._estimator = channels, pool, estimator
        self._sinks, self._overlay, self._control = sinks, overlay, control
        # A film that stalls must not keep the others waiting; but nothing tells when it goes on.
        several = len(channels) > 1
        has_films = not all(channel.source.is_live for channel in channels)
        self._film_wait_s = 0.0 if several else TICK_S
        self._idle_s = TICK_S / 10 if several and has_films else TICK_S

    @property
    def shows_photographs(self) -> bool:
        """Whether all sources are photographs, and all of them were shown."""
        return all(
            channel.tally.frames + channel.source.dropped == channel.source.frame_count
            and not channel.tally.is_film
            for channel in self._channels
        )

    @property
    def ended(self) -> bool:
        """Whether all sources have ended."""
        return all(channel.ended for channel in self._channels)

    @property
    def seconds(self) -> float:
        """How long the longest source has been, up to its newest frame."""
        return max(
            channel.latest.frame.time_s + 1 / max(channel.source.fps, 1)
            for channel in self._channels
        )

    def linger(self, last_words: str) -> None:
        """Keep refreshing the sinks with the last results until one is closed.

        `last_words` sum up what was seen, where there is one source.
        """
        if len(self._channels) == 1:
            self._channels[0].last_words = last_words
        for channel in self._channels:
            channel.pipeline.forget_people(everybody=True)
        while not any(sink.closed for sink in self._sinks):
            for channel in self._channels:
                if (result := channel.overdue()) is not None:
                    self._refresh(result)
            time.sleep(TICK_S / 2)

    def seek(self, step_s: float) -> str:
        """Go on in a film, or back where `step_s` < 0; returns the place in words.

        Only for a single film whose results nothing else than a window takes: no output could
        make sense of what comes twice.
        """
        (channel, *others) = self._channels
        to_s = None if others else channel.seek(step_s)
        return "only films have a place to go to" if to_s is None else f"to {clock_text(to_s)}"

    def summary(self) -> str:
        """One line for the end of the run; for each channel, where there are several."""
        return "\n".join(
            f"{channel.name}: {channel.summary()}" if channel.name else channel.summary()
            for channel in self._channels
        )

    def run(self) -> Iterator[FrameResult]:
        """Yield each result once it has been written, until all sources end or a sink closes."""
        while not any(sink.closed for sink in self._sinks):
            self._arrived.clear()
            for channel in self._channels:
                channel.fetch(self._pool, self._film_wait_s)
                yield from self._release(channel)
            if all(channel.waits for channel in self._channels):
                if all(channel.ended for channel in self._channels):
                    return
                self._arrived.wait(self._idle_s)
            yield from self._round()
            for channel in self._channels:
                channel.pipeline.forget_people()
                if (result := channel.overdue()) is not None:
                    self._refresh(result)

    def _round(self) -> Iterator[FrameResult]:
        """Continue every channel whose next frame is ready; wait a tick where none is."""
        searches = [channel.pending for channel in self._channels if not channel.waits]
        if searches and searches[0] and None not in searches:
            # `concurrent.futures.wait` would leave locks behind after Ctrl-C.
            with contextlib.suppress(TimeoutError):
                searches[0].exception(TICK_S)
        nexts = [(channel, channel.next_look()) for channel in self._channels]
        ready = [(channel, look) for channel, look in nexts if look is not None]
        for channel, _ in ready:  # their next searches run while these faces are described
            channel.fetch(self._pool, self._film_wait_s)
        looks = describe(self._estimator, [(channel.pipeline, look) for channel, look in ready])
        for (channel, _), look in zip(ready, looks, strict=True):
            channel.finish(look)
            yield from self._release(channel, look.frame)

    def _release(self, channel: Channel, new: Frame | None = None) -> Iterator[FrameResult]:
        """Write what may be shown now, until a sink is closed; note how late a new frame is."""
        for result in channel.released():
            drawn = self._drawn(result)
            for sink in self._sinks:
                sink.write(drawn if sink.wants_picture else None, result)
            self._note(new)
            new = None  # once
            yield result
            if any(sink.closed for sink in self._sinks):
                return
        self._note(new)

    def _refresh(self, result: FrameResult) -> None:
        drawn = self._drawn(result)
        for sink in self._sinks:
            sink.refresh(drawn if sink.wants_picture else None, result)

    def _drawn(self, result: FrameResult) -> Image | None:
        wanted = any(sink.wants_picture for sink in self._sinks)
        return self._overlay.draw(result) if wanted else None

    def _note(self, frame: Frame | None) -> None:
        """Report to the control how late a frame is, and set the effort of all channels."""
        if self._control is None or frame is None or frame.arrived_s is None:
            return
        now_s = time.monotonic()
        self._control.note(1e3 * (now_s - frame.arrived_s), now_s)
        for channel in self._channels:
            channel.pipeline.effort = self._control.effort
