"""What may be changed from the page while the program runs."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from people.crowd import Crowd
from people.zones import Point

_MOST_PEOPLE = 100_000


_WISHES = {"hide", "warn_from", "reset", "draw", "erase"}


class Drawer(Protocol):
    """Puts lines and zones into pictures, and takes them out; raises ValueError as it must."""

    def draw(self, camera: str, points: Sequence[Point], name: str = "") -> object:
        """Draw one; an empty name is chosen."""
        ...

    def erase(self, camera: str, name: str) -> None:
        """Take one out."""
        ...


class Controls:
    """The run's settings; every viewer sees the same ones.

    Args:
        crowd: its counts can be reset.
        hides: whether faces are hidden since the start, which the page cannot undo.
        hide: hides faces in all pictures from the next frame on, or shows them again; None
            where that cannot be changed.
        drawer: draws lines and zones; None where none can be drawn.
    """

    def __init__(
        self,
        crowd: Crowd,
        hides: bool = False,
        hide: Callable[[bool], None] | None = None,
        drawer: Drawer | None = None,
    ) -> None:
        self._crowd, self._fixed, self._hide = crowd, hides or hide is None, hide
        self._drawer = drawer
        self._lock = threading.Lock()
        self._hides = hides
        self._warn_from: int | None = None

    @property
    def hides(self) -> bool:
        """Whether faces are hidden."""
        return self._hides

    def state(self) -> dict[str, Any]:
        """What the page shows of them."""
        with self._lock:
            told = {"hides": self._hides, "fixed": self._fixed, "warn_from": self._warn_from}
        return told | {"draws": self._drawer is not None}

    def change(self, wishes: Any) -> None:
        """Take in {"hide": bool}, {"warn_from": number or null}, {"reset": true}, or several.

        Or {"draw": {"camera": text, "points": [[x, y], ...], "name": text}}, {"erase": {"camera":
        text, "name": text}}.

        Raises:
            ValueError: something else; nothing has changed.
        """
        if not isinstance(wishes, dict) or set(wishes) - _WISHES:
            raise ValueError(f"want {', '.join(sorted(_WISHES))}")
        hide, warn_from = wishes.get("hide"), wishes.get("warn_from")
        if hide not in (None, True, False) or wishes.get("reset") not in (None, True):
            raise ValueError("hide is true or false, reset is true")
        if hide is not None and self._fixed:
            raise ValueError("hiding faces was chosen at the start")
        whole = isinstance(warn_from, int) and not isinstance(warn_from, bool)
        if warn_from is not None and not (whole and 1 <= warn_from <= _MOST_PEOPLE):
            raise ValueError(f"warn_from is a number from 1 to {_MOST_PEOPLE}, or null")
        self._redraw(wishes)
        with self._lock:
            if "warn_from" in wishes:
                self._warn_from = warn_from
            if hide is not None and self._hide is not None:
                self._hides = hide
                self._hide(hide)
        if wishes.get("reset"):
            self._crowd.reset()

    def _redraw(self, wishes: dict[str, Any]) -> None:
        """Draw or erase what is asked for, if anything."""
        if "draw" in wishes and "erase" in wishes:
            raise ValueError("draw or erase, one at a time")
        for wish, keys in (("draw", {"camera", "name", "points"}), ("erase", {"camera", "name"})):
            if (what := wishes.get(wish)) is None:
                continue
            if self._drawer is None or not isinstance(what, dict) or set(what) != keys:
                raise ValueError(f"{wish} has {', '.join(sorted(keys))}, where it is possible")
            if not isinstance(what["camera"], str) or not isinstance(what["name"], str):
                raise ValueError("camera and name are texts")
            if wish == "erase":
                self._drawer.erase(what["camera"], what["name"])
            else:
                self._drawer.draw(what["camera"], _points(what["points"]), what["name"])


def _points(found: Any) -> list[Point]:
    """Points that came as JSON."""
    try:
        return [(float(x), float(y)) for x, y in found]
    except (TypeError, ValueError, OverflowError):
        raise ValueError("points are pairs of fractions of the picture") from None
