"""Who is there: each person from the first frame to the last one."""

from dataclasses import dataclass, field

from structures import Frame, FrameResult, Smoothed, SourceState

# A track does not outlive these: what comes afterwards is a new epoch.
_BROKEN = frozenset({SourceState.RECONNECTING, SourceState.FAILED, SourceState.CONNECTING})


@dataclass(slots=True)
class Visit:
    """What is known of one person; small, and does not grow.

    Attributes:
        track_id: of the person's track.
        first_s: `Frame.time_s` of the first frame.
        last_s: of the last one in which the face was detected, not merely foretold.
        frames: in how many it was detected.
        person: the values last known, None before the first estimate.
        settled: whether the values have converged at least once.
    """

    track_id: int
    first_s: float
    last_s: float
    frames: int = 0
    person: Smoothed | None = None
    settled: bool = False


@dataclass(slots=True)
class Changes:
    """What one frame changed: visits whose values have just settled, and those over."""

    settled: list[Visit] = field(default_factory=list)
    left: list[Visit] = field(default_factory=list)


class Visits:
    """Follows the coming and going of one camera's people.

    A visit ends when the track does, at a new epoch, and when the source breaks off.
    """

    def __init__(self) -> None:
        self._here: dict[int, Visit] = {}
        self._frame: Frame | None = None

    def __len__(self) -> int:
        """How many people are there now."""
        return len(self._here)

    def update(self, result: FrameResult) -> Changes:
        """Take in a new frame, or the last one once more with another `status`."""
        frame, before = result.frame, self._frame
        if frame is before:
            return Changes(left=self.end() if result.status.state in _BROKEN else [])
        self._frame = frame
        cut = before is not None and before.epoch != frame.epoch
        changes = Changes(left=self.end() if cut else [])
        there = {track.track_id for track in result.tracks}
        changes.left += [self._here.pop(i) for i in set(self._here) - there]
        for track in result.tracks:
            new = Visit(track.track_id, frame.time_s, frame.time_s)
            visit = self._here.setdefault(track.track_id, new)
            if track.time_since_update == 0:
                visit.last_s = frame.time_s
                visit.frames += 1
            visit.person = result.people.get(track.track_id, visit.person)
            if visit.person is not None and visit.person.converged and not visit.settled:
                visit.settled = True
                changes.settled.append(visit)
        return changes

    def end(self) -> list[Visit]:
        """Let everybody leave; returns their visits."""
        left, self._here = list(self._here.values()), {}
        return left
