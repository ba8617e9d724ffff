"""The last seconds of a camera as encoded packets, for a clip that begins in the past."""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from av.packet import Packet

from outputs.recording.encoder import TICKS_PER_S
from people.triggers import Moment


class Shot(NamedTuple):
    """An encoded frame and when it was taken."""

    packet: "Packet[Any]"
    moment: Moment


class PreRoll:
    """Keeps the newest shots in whole groups, each beginning with a key frame.

    The oldest groups go first: those that are not needed for the last `seconds`, and those that
    are too much. So it holds up to one group more than these seconds, and at times nothing.

    Args:
        seconds: how far back it should reach.
        most_bytes: of the packets that are kept.

    Attributes:
        bytes: of the packets.
    """

    def __init__(self, seconds: float, most_bytes: int) -> None:
        self.bytes = 0
        self._ticks, self._most_bytes = round(seconds * TICKS_PER_S), most_bytes
        self._groups: deque[list[Shot]] = deque()

    def add(self, shot: Shot) -> None:
        """Keep a shot; one whose key frame is gone cannot be decoded and is not kept."""
        if shot.packet.is_keyframe:
            self._groups.append([])
        elif not self._groups:
            return
        self._groups[-1].append(shot)
        self.bytes += shot.packet.size
        needed = (shot.packet.pts or 0) - self._ticks
        while len(self._groups) > 1 and (self._groups[1][0].packet.pts or 0) <= needed:
            self._drop()
        while self.bytes > self._most_bytes:
            self._drop()

    def _drop(self) -> None:
        self.bytes -= sum(shot.packet.size for shot in self._groups.popleft())

    def __bool__(self) -> bool:
        return bool(self._groups)

    def shots(self, newest_only: bool = False) -> Iterator[Shot]:
        """Yield what is kept, oldest first, or the newest group only."""
        for group in list(self._groups)[-1 if newest_only else 0 :]:
            yield from group
