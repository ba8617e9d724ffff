"""How long to wait before the next try."""

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Waits that grow with every try, shortened at random.

    Chance keeps many programs from coming back at the same moment.

    Attributes:
        first_s: the first wait, seconds.
        longest_s: no wait is longer.
        growth: every wait is so many times as long as the one before.
        jitter: the largest part of a wait that chance takes off, 0..1.
        early_tries: for so many tries the longest wait is another one.
        early_longest_s: namely this one.
    """

    first_s: float
    longest_s: float = 60.0
    growth: float = 2.0
    jitter: float = 0.5
    early_tries: int = 0
    early_longest_s: float = 60.0
    _tries: int = 0
    _wait_s: float = 0.0

    def reset(self) -> None:
        """Begin anew: a try succeeded."""
        self._tries = 0

    def next_s(self) -> float:
        """Return the seconds to wait now."""
        longest_s = self.early_longest_s if self._tries < self.early_tries else self.longest_s
        self._wait_s = self._wait_s * self.growth if self._tries else self.first_s
        self._wait_s = min(self._wait_s, longest_s)
        self._tries += 1
        return self._wait_s * random.uniform(1 - self.jitter, 1)
