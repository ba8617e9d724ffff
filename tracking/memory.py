"""The people remembered by their faces; see `tracking.recall`."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from structures import Float32

MOST_PEOPLE = 500  # then the one who was seen longest ago is forgotten
_NEWEST = 20  # looks that count in full


@dataclass(slots=True, eq=False)
class _Known:
    """A person remembered: the sum of the looks, and what the smoother knew."""

    last_s: float
    total: Float32
    looks: int = 0
    memory: object = None


class PeopleMemory:
    """The people of a run, of all its cameras, each until `keep_s` after the last sight.

    In memory only: what is here is biometric data in the sense of Article 9 of the GDPR.

    Args:
        keep_s: seconds.

    Attributes:
        clock: gives seconds; None = the time of the newest frame is now.
    """

    def __init__(self, keep_s: float, clock: Callable[[], float] | None = None) -> None:
        self.clock = clock
        self._keep_s = keep_s
        self._now_s = 0.0
        self._people: dict[int, _Known] = {}  # in the order of their last sights

    def __len__(self) -> int:
        return len(self._people)

    def note(self, time_s: float = 0.0) -> None:
        """Note the time of a frame, and forget those whose time is over."""
        self._now_s = self.clock() if self.clock else max(self._now_s, time_s)
        for person, known in list(self._people.items()):
            if self._now_s - known.last_s < self._keep_s and len(self._people) <= MOST_PEOPLE:
                return
            del self._people[person]

    def see(self, person: int) -> None:
        """Note that a person is in view."""
        known = self._people.pop(person, None) or _Known(0.0, np.zeros(0, np.float32))
        known.last_s = self._now_s
        self._people[person] = known

    def learn(self, person: int, look: Float32) -> None:
        """Add a look at a person, a unit vector; the newest count most."""
        if person not in self._people:
            self.see(person)
        known = self._people[person]
        fading = min(known.looks, _NEWEST) / max(known.looks, 1)
        known.total = look if known.looks == 0 else known.total * fading + look
        known.looks = min(known.looks, _NEWEST) + 1

    def looks(self, person: int) -> int:
        """How many looks are known of a person."""
        known = self._people.get(person)
        return known.looks if known else 0

    def knows_others(self, people: Collection[int]) -> bool:
        """Whether there are looks at anybody but `people`."""
        return any(known.looks and p not in people for p, known in self._people.items())

    def alike(self, look: Float32, but: Collection[int] = ()) -> list[tuple[float, int]]:
        """Cosines to all people with looks, except `but`, and who it is; most alike first."""
        people = [p for p, known in self._people.items() if known.looks and p not in but]
        if not people:
            return []
        totals = np.stack([self._people[person].total for person in people])
        cosines = totals @ look / np.linalg.norm(totals, axis=1)
        return sorted(zip(cosines.tolist(), people, strict=True), reverse=True)

    def store(self, person: int, memory: object) -> None:
        """Keep what the smoother knew of somebody who left."""
        if person in self._people:
            self._people[person].memory = memory

    def fetch(self, person: int) -> object:
        """Hand out what was stored, once; None where nothing was."""
        known = self._people.get(person)
        memory = known.memory if known else None
        if known:
            known.memory = None
        return memory

    def clear(self) -> None:
        """Forget everybody."""
        self._people.clear()
