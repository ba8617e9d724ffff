"""A visit: one person of one camera, from the first frame to the last one.

A person is a confirmed track. The person leaves, for every output alike, when the track
ends, at a new epoch, and when the source breaks off.
"""

from dataclasses import dataclass

from structures import Frame, FrameResult, Smoothed, SourceState

# A track does not outlive these: what comes afterwards is a new epoch.
_BROKEN = frozenset({SourceState.RECONNECTING, SourceState.FAILED, SourceState.CONNECTING})


@dataclass(slots=True, eq=False)
class Visit:
    """What is known of one person; small, and does not grow.

    Attributes:
        camera: name of the source; empty where there is only one.
        track_id: of the person's track.
        epoch: of the frames.
        first_s: `Frame.time_s` of the first frame.
        last_s: of the last one in which the face was detected, not merely predicted.
        first_utc_s: when the program saw the first one, seconds since 1970.
        last_utc_s: the same of the last one.
        frames: in how many it was detected.
        person: the values last known, None before the first estimate.
        settled: whether the values have converged at least once.
        over: whether the person has left; nothing changes any more.
    """

    camera: str
    track_id: int
    epoch: int
    first_s: float
    last_s: float
    first_utc_s: float
    last_utc_s: float
    frames: int = 0
    person: Smoothed | None = None
    settled: bool = False
    over: bool = False


class Visits:
    """Follows the coming and going of one camera's people.

    Attributes:
        here: the visits that are not over, by track id, in the order of their first frames.
        frame: the newest one; None before the first.
    """

    def __init__(self) -> None:
        self.here: dict[int, Visit] = {}
        self.frame: Frame | None = None

    def update(self, result: FrameResult, utc_s: float) -> list[Visit]:
        """Take in a new frame, or the last one again, perhaps with another `status`.

        Args:
            result: of the frame.
            utc_s: seconds since 1970.

        Returns:
            The visits that are over with it.
        """
        frame, before = result.frame, self.frame
        if frame is before:
            return self.end() if result.status.state in _BROKEN else []
        self.frame = frame
        cut = before is not None and before.epoch != frame.epoch
        tracked = set() if cut else {track.track_id for track in result.tracks}
        left = self._end_all_but(tracked)
        for track in result.tracks:
            if track.track_id not in self.here:
                times = frame.time_s, frame.time_s, utc_s, utc_s
                new = Visit(result.camera, track.track_id, frame.epoch, *times)
                self.here[track.track_id] = new
            visit = self.here[track.track_id]
            if track.time_since_update == 0:
                visit.last_s, visit.last_utc_s = frame.time_s, utc_s
                visit.frames += 1
            visit.person = result.people.get(track.track_id, visit.person)
            visit.settled |= visit.person is not None and visit.person.converged
        return left

    def end(self) -> list[Visit]:
        """Let everybody leave; returns their visits."""
        return self._end_all_but(set())

    def _end_all_but(self, tracked: set[int]) -> list[Visit]:
        left = [visit for track_id, visit in self.here.items() if track_id not in tracked]
        for visit in left:
            visit.over = True
            del self.here[visit.track_id]
        return left
