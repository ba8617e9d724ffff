"""What may be changed from the page while the program runs."""

import threading
from collections.abc import Callable
from typing import Any

from people.crowd import Crowd

_MOST_PEOPLE = 100_000


class Controls:
    """The run's settings; every viewer sees the same ones.

    Args:
        crowd: its counts can be reset.
        hides: whether faces are hidden since the start, which the page cannot undo.
        hide: hides faces in all pictures from the next frame on, or shows them again; None
            where that cannot be changed.
    """

    def __init__(
        self, crowd: Crowd, hides: bool = False, hide: Callable[[bool], None] | None = None
    ) -> None:
        self._crowd, self._fixed, self._hide = crowd, hides or hide is None, hide
        self._lock = threading.Lock()
        self._hides = hides
        self._warn_from: int | None = None

    def state(self) -> dict[str, Any]:
        """What the page shows of them."""
        with self._lock:
            return {"hides": self._hides, "fixed": self._fixed, "warn_from": self._warn_from}

    def change(self, wishes: Any) -> None:
        """Take in {"hide": bool}, {"warn_from": number or null}, {"reset": true}, or several.

        Raises:
            ValueError: something else; nothing has changed.
        """
        if not isinstance(wishes, dict) or set(wishes) - {"hide", "warn_from", "reset"}:
            raise ValueError("want hide, warn_from or reset")
        hide, warn_from = wishes.get("hide"), wishes.get("warn_from")
        if hide not in (None, True, False) or wishes.get("reset") not in (None, True):
            raise ValueError("hide is true or false, reset is true")
        if hide is not None and self._fixed:
            raise ValueError("hiding faces was chosen at the start")
        whole = isinstance(warn_from, int) and not isinstance(warn_from, bool)
        if warn_from is not None and not (whole and 1 <= warn_from <= _MOST_PEOPLE):
            raise ValueError(f"warn_from is a number from 1 to {_MOST_PEOPLE}, or null")
        with self._lock:
            if "warn_from" in wishes:
                self._warn_from = warn_from
            if hide is not None and self._hide is not None:
                self._hides = hide
                self._hide(hide)
        if wishes.get("reset"):
            self._crowd.reset()
