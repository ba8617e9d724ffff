"""Who a face belongs to: people who come back keep the id of then.

A track knows where a face is, not whose it is. `Recall` compares looks at a track's face, unit
vectors in which two photographs of one person have a high cosine, with the people remembered. A
new track is undecided until it is known whether it is one of them; its face is not shown
meanwhile, so that nobody is renamed before the viewer's eyes. A track that has changed over to
another face, as after two people crossed, is undecided again.

The limits are for dlib's network. Pairs of photographs with a cosine of at least ...

                                               0.92    0.935   0.945   0.95
    two members of congress (876 photographs)  0.40 %  0.043 % 0.008 % 0.003 %
    two adults of FG-NET (old scans)           2.1 %   0.26 %          0.015 %
    two children of FG-NET                     18 %    5 %             0.8 %
    the same member of congress                        99 %            94 %
    the same adult of FG-NET, within 4 years   97 %    91 %            77 %
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np

from structures import SLACK_S, Float32, Image, Track, TrackState
from tracking.boxes import overlaps
from tracking.memory import PeopleMemory

SAME = 0.935  # from here on somebody is one of few people remembered
_STRICTER, _FEW = 0.012, 4  # by how much more for ten times as many: false matches add up
CLEARLY_NEW = 0.90  # below that two looks are enough to say: nobody we know
OWN, OTHER = 0.90, 0.88  # a track's face is still its person's; one look says: somebody else's
_BETTER = 0.02  # by which another person must fit better than a track's own
DOUBTS = 3  # looks that must agree that a track's face is nobody's that is known
_ALIKE = 0.95  # of such looks: a face that is being covered changes from look to look

GOOD = 0.25  # evidence weight of a look worth comparing: sharp and of 32 pixels, or more
_CROWDED = 0.1  # of a face's area shared with another: the chip shows both
_GAP_S = 0.3  # unseen for longer, a track may have gone on with somebody else
_HELD_S = 0.3  # a person seen less long ago than that is not free to be somebody else
WAIT_S = 0.4  # then an undecided face is taken for a new one
WAIT_LIVE_S = 0.8  # the same, where looks are taken beside the loop
# Seconds between two looks at a face: in doubt, with few looks at its person, with enough.
QUICK_S, EARLY_S, LATER_S = 0.08, 0.4, 2.0
ENOUGH = 5
_LIVE_S, _LIVE_LOOKS = 0.25, 2  # beside the loop: how often, and how many at a time

Cut = Callable[[Sequence[int | None]], tuple[Image, Float32]]
Describe = Callable[[Image], "Future[Float32]"]


@dataclass(slots=True, eq=False)
class _Face:
    """What is known of a track: whose face it is, None while that is undecided."""

    since_s: float  # undecided or returned
    seen_s: float
    person: int | None = None
    had_person: bool = False
    doubtful: bool = False  # it may be somebody else's since it was covered or unseen ...
    doubted_s: float = 0.0  # ... which ended then
    returned: bool = False  # after a while unseen, perhaps with another face: not shown yet
    crowded: bool = False
    looked_s: float = -math.inf
    looks: list[Float32] = field(default_factory=list)  # undecided ones, or ones that disagree

    def become(self, person: int) -> None:
        """Be decided."""
        self.person, self.had_person = person, True
        self.agree()

    def agree(self) -> None:
        """Be its person's for certain."""
        self.doubtful = self.returned = False
        self.looks = []

    def lose(self, time_s: float) -> None:
        """Be undecided again."""
        self.person, self.since_s, self.doubtful, self.returned = None, time_s, False, False


class Recall:
    """Gives the tracks of one channel the ids of people; see the module.

    Args:
        memory: shared by the channels of a run.
        ids: where new ids come from, shared with the trackers.
        describe: computes unit vectors (B, 128) of chips (B, S, S, 3) uint8 RGB, perhaps in
            another thread.
        chip_px: side of the chips, S.
        live: go on while they are computed; else wait for them, so that a film gives the same
            result every time.

    Attributes:
        memory: as given.
        chip_px: likewise.
        left: the people of the frame before who are not there any more.
        back: those who are there now and were not.
    """

    def __init__(
        self,
        memory: PeopleMemory,
        ids: Iterator[int],
        describe: Describe,
        chip_px: int,
        live: bool = False,
    ) -> None:
        self.memory, self.chip_px = memory, chip_px
        self.left: frozenset[int] = frozenset()
        self.back: frozenset[int] = frozenset()
        self._ids, self._describe, self._live = ids, describe, live
        self._wait_s = WAIT_LIVE_S if live else WAIT_S
        self._faces: dict[int, _Face] = {}
        self._present: frozenset[int] = frozenset()
        self._pending: tuple[list[int], Future[Float32]] | None = None
        self._asked_s = -math.inf
        self._frames = 0  # of this epoch
        self._time_s = 0.0
        self._single = self._photographs = False

    def begin_epoch(self) -> None:
        """All tracks have ended."""
        self._single, self._frames = self._frames == 1, 0
        self._faces.clear()

    def forget(self, everybody: bool = False) -> None:
        """Forget the people whose time is over, or everybody, those in view too."""
        if not everybody:
            self.memory.note()
            return
        self.memory.clear()
        self._faces.clear()
        self._pending = None

    def update(self, tracks: Sequence[Track], time_s: float, cut: Cut) -> list[Track]:
        """Take in the tracks of a frame; return them by id, with the ids of people.

        Those whose face is undecided are returned as tentative, and those that have come back
        unverified as lost still.

        Args:
            tracks: all live ones.
            time_s: of the frame.
            cut: makes chips of rows of the frame's detections, (B, S, S, 3) uint8 RGB, and
                their evidence weights, (B,) float32.
        """
        self.memory.note(time_s)
        if self._frames == 0:  # after an epoch of one frame and a pause: nothing to wait for
            self._photographs = self._single and time_s - self._time_s > self._wait_s
        self._frames, self._time_s = self._frames + 1, time_s
        seen = self._follow(tracks, time_s)
        self._collect(time_s)
        self._look(seen, time_s, cut)
        self._decide(seen, time_s)
        present = frozenset(f.person for f in self._faces.values() if f.person is not None)
        self.left, self.back = self._present - present, present - self._present
        self._present = present
        for track in seen:
            person = self._faces[track.track_id].person
            if person is not None:
                self.memory.see(person)
        return sorted(map(self._named, tracks), key=lambda track: track.track_id)

    def _named(self, track: Track) -> Track:
        face = self._faces.get(track.track_id)
        if face is None or face.person is None:
            # Its own id may be a person's that another track has been recognised as.
            return replace(track, track_id=-track.track_id, state=TrackState.TENTATIVE)
        state = TrackState.LOST if face.returned else track.state
        return replace(track, track_id=face.person, state=state)

    def _follow(self, tracks: Sequence[Track], time_s: float) -> list[Track]:
        """Note which faces are seen, alone or covered by others; returns those."""
        ids = {track.track_id for track in tracks}
        self._faces = {i: face for i, face in self._faces.items() if i in ids}
        found = [track for track in tracks if track.detection_index is not None]
        boxes = np.array([track.box for track in found], np.float32).reshape(-1, 4)
        shared = overlaps(boxes, boxes, "min")
        np.fill_diagonal(shared, 0.0)
        seen = []
        for track, most in zip(found, shared.max(axis=1, initial=0.0), strict=True):
            if track.state is not TrackState.CONFIRMED:
                continue
            seen.append(track)
            face = self._faces.setdefault(track.track_id, _Face(time_s, time_s))
            self._note(face, time_s, bool(most > _CROWDED))
        return seen

    def _note(self, face: _Face, time_s: float, crowded: bool) -> None:
        """Note that a face is seen; after a while unseen or covered it may be somebody else's."""
        named = face.person is not None
        if time_s - face.seen_s > _GAP_S:
            face.returned = face.doubtful = named
            if face.had_person:
                face.since_s = face.doubted_s = time_s
        elif time_s - face.since_s >= self._wait_s:
            face.returned = False
        if named and crowded:
            face.doubtful, face.doubted_s = True, time_s
        face.seen_s, face.crowded = time_s, crowded

    def _look(self, seen: Sequence[Track], time_s: float, cut: Cut) -> None:
        """Have looks taken at the faces that are due, the undecided ones first."""
        if self._live and (self._pending or time_s - self._asked_s < _LIVE_S):
            return
        due = [track for track in seen if self._is_due(self._faces[track.track_id], time_s)]
        due.sort(key=lambda track: self._urgency(self._faces[track.track_id]))
        due = due[:_LIVE_LOOKS] if self._live else due
        for track in due:
            self._faces[track.track_id].looked_s = time_s
        chips, weights = cut([track.detection_index for track in due])
        good = np.flatnonzero(weights >= GOOD)
        if len(good):
            ids = [due[row].track_id for row in good.tolist()]
            self._pending, self._asked_s = (ids, self._describe(chips[good])), time_s
            if not self._live:
                self._collect(time_s)

    def _is_due(self, face: _Face, time_s: float) -> bool:
        if face.crowded and face.person is not None:
            return False
        if face.person is None or face.doubtful:
            gap_s = QUICK_S
        else:
            gap_s = EARLY_S if self.memory.looks(face.person) < ENOUGH else LATER_S
        return time_s - face.looked_s >= gap_s - SLACK_S

    @staticmethod
    def _urgency(face: _Face) -> tuple[bool, bool, float]:
        return face.person is not None, not face.doubtful, face.looked_s

    def _collect(self, time_s: float) -> None:
        """Take in the looks that were asked for, once they are there."""
        if self._pending is None or (self._live and not self._pending[1].done()):
            return
        ids, future = self._pending
        self._pending = None
        for track_id, look in zip(ids, future.result(), strict=True):
            if (face := self._faces.get(track_id)) is not None:
                self._take_in(face, look, time_s)

    def _take_in(self, face: _Face, look: Float32, time_s: float) -> None:
        """Compare a look at a face with its person; without one keep it for the decision."""
        if face.person is None:
            self._keep(face, look, time_s)
            return
        known = self.memory.looks(face.person) > 0
        likeness = {person: cosine for cosine, person in self.memory.alike(look)}
        own = likeness.pop(face.person, 1.0)
        free = [likeness[p] for p in likeness.keys() - self._held(time_s)]
        rival = max(free, default=0.0)
        is_rival = rival >= self._bar(len(free)) and (
            rival > own + _BETTER or (face.doubtful and not known)
        )
        if own < OTHER or is_rival:
            face.doubtful = True
            face.looks = [*(each for each in face.looks if each @ look >= _ALIKE), look]
            if len(face.looks) >= (1 if not known else 2 if is_rival else DOUBTS):
                face.lose(time_s)
            return
        if face.doubtful and own < SAME and time_s - face.doubted_s < self._wait_s:
            return
        face.agree()
        if own >= OWN:
            self.memory.learn(face.person, look)

    def _keep(self, face: _Face, look: Float32, time_s: float) -> None:
        """Keep a look at an undecided face; of one that is covered only if it is known."""
        if face.crowded:
            likeness = self.memory.alike(look, self._held(time_s))
            if not likeness or likeness[0][0] < self._bar(len(likeness)):
                return
        face.looks.append(look)

    def _held(self, time_s: float) -> set[int]:
        """The people who are in view for certain: nobody else there can be one of them."""
        return {
            face.person
            for face in self._faces.values()
            if face.person is not None and not face.doubtful and time_s - face.seen_s < _HELD_S
        }

    @staticmethod
    def _bar(people: int) -> float:
        """The cosine from which somebody is one of so many people."""
        return SAME + _STRICTER * math.log10(max(people / _FEW, 1.0))

    def _decide(self, seen: Sequence[Track], time_s: float) -> None:
        """Say who the undecided faces are where that is clear, or has taken long enough."""
        undecided = [t.track_id for t in seen if self._faces[t.track_id].person is None]
        if not undecided:
            return
        held = self._held(time_s)
        fits: list[tuple[float, int, int]] = []
        best = dict.fromkeys(undecided, 0.0)
        for track_id in undecided:
            if looks := self._faces[track_id].looks:
                likeness = self.memory.alike(_mean(looks), held)
                fits += [(cosine, track_id, person) for cosine, person in likeness]
                best[track_id] = likeness[0][0] if likeness else 0.0
        free = len({person for _, _, person in fits})
        self._match(sorted(fits, reverse=True), self._bar(free), time_s)
        for track_id in undecided:
            face = self._faces[track_id]
            if face.person is None and self._is_new(face, best[track_id], held, time_s):
                self._name_anew(track_id, face)

    def _match(self, fits: list[tuple[float, int, int]], bar: float, time_s: float) -> None:
        """Decide for people remembered, the best fits first, each person once."""
        taken = set()
        for cosine, track_id, person in fits:
            face = self._faces[track_id]
            if cosine < bar or face.person is not None or person in taken:
                continue
            taken.add(person)
            others = [f for f in self._faces.values() if f.person == person]
            if any(time_s - other.seen_s < _HELD_S for other in others):
                continue  # another face in view has the id, perhaps wrongly: it is looked at next
            for other in others:
                other.lose(time_s)
            looks = face.looks
            face.become(person)
            for look in looks:
                self.memory.learn(person, look)

    def _is_new(self, face: _Face, best: float, held: set[int], time_s: float) -> bool:
        """Whether an undecided face is to be taken for somebody new."""
        if not self.memory.knows_others(held):
            return True
        if face.looks and best < (OTHER if len(face.looks) == 1 else CLEARLY_NEW):
            return True
        return self._photographs or time_s - face.since_s >= self._wait_s

    def _name_anew(self, track_id: int, face: _Face) -> None:
        person = next(self._ids) if face.had_person else track_id
        looks = face.looks
        face.become(person)
        for look in looks:
            self.memory.learn(person, look)


def _mean(looks: Sequence[Float32]) -> Float32:
    """The unit vector in the direction of the mean of unit vectors."""
    total = np.sum(looks, axis=0)
    return total / np.linalg.norm(total)
