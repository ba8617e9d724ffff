"""The faults of a scripted bad camera, as they are written in a `chaos:` address."""

import math
from collections.abc import Callable
from dataclasses import dataclass

HELP = (
    "freeze=SECONDS@AT, late=SECONDS@AT, lose=SECONDS@AT, refuse=SECONDS@AT, end=AT, resize=AT "
    "(several: with commas), drop=SHARE, corrupt=SHARE, every=SECONDS, seed=NUMBER"
)


@dataclass(frozen=True, slots=True)
class Span:
    """Something that begins at `at_s` and lasts for `seconds`."""

    seconds: float
    at_s: float

    def left_s(self, now_s: float) -> float:
        """How much of it is left at `now_s`; 0 before and after it."""
        left_s = self.at_s + self.seconds - now_s
        return left_s if now_s >= self.at_s and left_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Script:
    """What goes wrong and when, in seconds of the camera's time.

    Attributes:
        freeze: it stays connected but silent; what it sees meanwhile is lost.
        late: what it sees is held up on the way and arrives all at once, too late.
        lose: it breaks off and nothing answers.
        refuse: it breaks off and does not accept the password.
        end: it breaks off, and can be opened again at once.
        resize: its pictures change between full and half size.
        drop: share of its pictures that are lost, 0..1.
        corrupt: share that are damaged, 0..1.
        every: the script begins anew after so many seconds, 0 = never.
        seed: which pictures are lost and damaged; the same seed, the same pictures.
    """

    freeze: tuple[Span, ...] = ()
    late: tuple[Span, ...] = ()
    lose: tuple[Span, ...] = ()
    refuse: tuple[Span, ...] = ()
    end: tuple[float, ...] = ()
    resize: tuple[float, ...] = ()
    drop: float = 0.0
    corrupt: float = 0.0
    every: float = 0.0
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> "Script":
        """Read `freeze=5@10,2@30&drop=0.1&...`.

        Raises:
            ValueError: one line on what is not understood.
        """
        found: dict[str, object] = {}
        for part in filter(None, text.split("&")):
            key, _, value = part.partition("=")
            if key not in _PARSERS:
                raise ValueError(f"unknown fault {key!r}; known: {', '.join(_PARSERS)}")
            try:
                found[key] = _PARSERS[key](value)
            except ValueError:
                raise ValueError(f"{part!r} is not understood; write {HELP}") from None
        return cls(**found)  # type: ignore[arg-type]

    def moment(self, now_s: float) -> float:
        """Camera time as the script counts it."""
        return now_s % self.every if self.every else now_s

    def left_s(self, what: tuple[Span, ...], now_s: float) -> float:
        """How long one of the spans of `what` goes on from `now_s`; 0 = none is on."""
        return max((span.left_s(self.moment(now_s)) for span in what), default=0.0)

    def happened(self, moments: tuple[float, ...], now_s: float) -> int:
        """How many of the given moments have passed at `now_s`, all rounds counted."""
        rounds = int(now_s // self.every) if self.every else 0
        passed = sum(at_s <= self.moment(now_s) for at_s in moments)
        return rounds * len(moments) + passed


def _number(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def _moments(text: str) -> tuple[float, ...]:
    return tuple(_number(each) for each in text.split(","))


def _spans(text: str) -> tuple[Span, ...]:
    pairs = (each.split("@") for each in text.split(","))
    return tuple(Span(_number(seconds), _number(at_s)) for seconds, at_s in pairs)


_PARSERS: dict[str, Callable[[str], object]] = {
    "freeze": _spans,
    "late": _spans,
    "lose": _spans,
    "refuse": _spans,
    "end": _moments,
    "resize": _moments,
    "drop": _share,
    "corrupt": _share,
    "every": _number,
    "seed": int,
}
