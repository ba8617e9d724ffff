"""Options that the programs share, with their flags, defaults and checks."""

import argparse
import contextlib
import logging
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from detectors import DETECTORS, MIN_FACE
from drawing.hiding import HIDING, USUAL_HIDING
from drawing.overlay import Style
from drawing.text import FONT
from engines.choose import DEVICES, ENGINES, PRECISIONS
from estimators import ARCHITECTURES, DEFAULT, WITH_WEIGHTS
from files import ensure_stderr
from outputs.keeping import Limit
from parsing import OneLineParser as OneLineParser
from people.wording import LABELS
from structures import ATTRIBUTES
from tracking import MAX_AGE, MIN_HITS

T = TypeVar("T")
_HOURS = {"h": 1, "d": 24}
_BYTES = {"MB": 1e6, "GB": 1e9}


def number(kind: type, low: float, high: float = float("inf")) -> Callable[[str], Any]:
    """An argparse type: an `int` or `float` from `low` to `high`."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            limits = f"of at least {low}" if high == float("inf") else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"want a number {limits}, got {text!r}")
        return value

    return parse


def reading(parse: Callable[[str], T]) -> Callable[[str], T]:
    """An argparse type of what `parse` reads, which raises ValueError with what is wrong."""

    def check(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return check


def duration(text: str) -> float:
    """An argparse type: seconds, from a number with s, m or h such as `10m`; at least 1."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    try:
        seconds = float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 1.0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"want a time such as 30s, 10m or 1h, got {text!r}")
    return seconds


def kept(text: str) -> Limit:
    """An argparse type: how long or how much to keep, such as 30d, 12h, 500MB or 50GB."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(d|h|GB|MB)", text)
    value = float(found[1]) if found else 0.0
    if not found or not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(
            f"want a limit such as 30d, 12h, 500MB or 50GB, got {text!r}"
        )
    if found[2] in _HOURS:
        return Limit(seconds=3600 * value * _HOURS[found[2]])
    return Limit(bytes=value * _BYTES[found[2]])


def file_mode(text: str) -> int:
    """An argparse type: what a file's owner, group and others may, such as 0640."""
    mode = int(text, 8) if re.fullmatch("0?[0-7]{3}", text) else 0
    if mode & 0o600 != 0o600 or mode & 0o111:
        raise argparse.ArgumentTypeError(f"want 0600, 0640, 0644 or the like, got {text!r}")
    return mode


def attribute_list(text: str) -> tuple[str, ...]:
    """An argparse type: a comma-separated choice of `ATTRIBUTES`."""
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    if not chosen or set(chosen) - set(ATTRIBUTES):
        known = ", ".join(ATTRIBUTES)
        raise argparse.ArgumentTypeError(f"want a list out of {known}, got {text!r}")
    return chosen


def every(text: str) -> int | None:
    """An argparse type: a number of frames from 1 on, or `auto`, which is None."""
    if text == "auto":
        return None
    frames: int = number(int, 1)(text)
    return frames


def flag(default: Any, text: str, **settings: Any) -> Any:
    """A dataclass field that is also a command-line flag; see `add_flags`.

    `text` is its help; `settings` are further arguments of `ArgumentParser.add_argument`.
    """
    return field(default=default, metadata={"help": text, **settings})


def add_flags(group: argparse._ActionsContainer, kind: type) -> None:
    """Add a flag for each field of a dataclass that was made by `flag`."""
    for each in fields(kind):
        if each.metadata:
            name = "--" + each.name.replace("_", "-")
            group.add_argument(name, default=each.default, **each.metadata)


def collect(kind: type[T], namespace: argparse.Namespace) -> T:
    """An options dataclass out of parsed flags; what has no flag keeps its default."""
    names = [each.name for each in fields(kind) if hasattr(namespace, each.name)]  # type: ignore[arg-type]
    return kind(**{name: getattr(namespace, name) for name in names})


_USUALLY = "(default: %(default)s)"


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which networks find and describe faces, on what they run, and what is reported.

    `weights` None means the default ones, `threads` 0 as many as there are processors.
    """

    detector: str = flag("mtcnn", "default: %(default)s", choices=DETECTORS)
    min_face: int = flag(
        MIN_FACE,
        f"mtcnn: smallest face to look for, pixels; smaller is slower {_USUALLY}",
        type=number(int, 20),
        metavar="PX",
    )
    upsample: int = flag(
        0,
        f"dlib: double the picture N times; finds faces below 80 px {_USUALLY}",
        type=number(int, 0, 3),
        metavar="N",
    )
    estimator: str = flag(
        DEFAULT,
        f"weights come with {', '.join(WITH_WEIGHTS)}; any other needs --weights with a file "
        f"that you trained {_USUALLY}",
        choices=ARCHITECTURES,
    )
    weights: str | None = flag(
        None,
        "a model of weights/manifest.json, or your own .onnx or .keras file",
        metavar="NAME|FILE",
    )
    engine: str = flag(
        "auto",
        "what runs the networks; auto: TensorFlow or ONNX Runtime where they can use a GPU, "
        f"else OpenVINO {_USUALLY}",
        choices=("auto", *ENGINES),
    )
    device: str = flag(
        "auto",
        "where mtcnn and the estimator run; auto: an NVIDIA GPU where one can be used, "
        f"else the processor {_USUALLY}",
        choices=DEVICES,
    )
    precision: str = flag(
        "auto",
        "number format of the networks; auto: the fastest that costs no accuracy; float32: "
        "the most exact, in mtcnn too; int8: a fifth faster on processors, for the default "
        f"weights {_USUALLY}",
        choices=PRECISIONS,
    )
    threads: int = flag(
        0,
        "processors to keep busy (default: all)",
        type=number(int, 1, 1024),
        metavar="N",
    )
    attributes: tuple[str, ...] = flag(
        ("age", "gender"),
        "what to report, out of age,gender,ethnicity (default: age,gender)",
        type=attribute_list,
        metavar="LIST",
    )


@dataclass(frozen=True, slots=True)
class TrackingOptions:
    """How faces are followed, and hidden.

    `detect_every` None means by time; `blur` is one of `drawing.hiding.HIDING`, or empty where
    faces are shown.
    """

    detect_every: int | None = flag(
        None,
        "search the whole picture in every Nth frame, and in between only near known faces; "
        "auto: five times a second, less often under load (default: auto)",
        type=every,
        metavar="N|auto",
    )
    max_age: int = flag(
        MAX_AGE,
        f"how long to remember a face that is not found, in frames at 25 a second {_USUALLY}",
        type=number(int, 0),
        metavar="N",
    )
    min_hits: int = flag(
        MIN_HITS,
        f"how long a face must be found before it is shown, in frames at 25 a second {_USUALLY}",
        type=number(int, 1),
        metavar="N",
    )
    blur: str = flag(
        "",
        "hide faces in every output (pixelate, blur or strict; default: pixelate); the whole "
        "picture is then searched in every frame unless --detect-every is a number. strict: "
        "pictures come a second late, so that a face is hidden from a second before it is found; "
        "faces from 20 pixels, doubtful frames as a whole, no boxes and labels; slower",
        nargs="?",
        const=USUAL_HIDING,
        choices=HIDING,
    )


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """Whether people who come back are recognised; `remember` is in seconds, None = no."""

    remember: float | None = flag(
        None,
        "recognise people who come back within TIME (30s, 10m, 1h): they keep their id and what "
        "is known of them. This compares faces: biometric data, kept in memory only for that time "
        "(default: off)",
        type=duration,
        metavar="TIME",
    )


USUAL_MODELS, USUAL_TRACKING = ModelOptions(), TrackingOptions()


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What outputs may report.

    Attributes:
        attributes: out of `structures.ATTRIBUTES`.
        anonymous: report only groups and record no sound: a voice identifies its speaker.
        lawful_purpose: why ethnicity may be estimated live, in the user's words.
    """

    attributes: tuple[str, ...] = USUAL_MODELS.attributes
    anonymous: bool = flag(
        False,
        "report only groups of five and more: no boxes, stills or sound, faces hidden",
        action="store_true",
    )
    lawful_purpose: str | None = flag(
        None,
        "what entitles you to estimate ethnicity live, which EU law forbids in general; kept in "
        "the records, and no legal basis in itself (docs/law.md)",
        metavar="TEXT",
    )


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """How boxes and labels look; see `drawing.overlay.Style`."""

    labels: str = flag(
        "auto",
        "what stands beside a face; auto: number, gender and age, less on small pictures and in "
        f"crowds; full: the age's ± too; short: no number; none: boxes only {_USUALLY}",
        choices=LABELS,
    )
    line_width: int | None = flag(
        None, "of boxes (default: by the picture's size)", type=number(int, 1, 100), metavar="PX"
    )
    font: str = flag(
        str(FONT),
        "for text beyond Latin, Greek and Cyrillic (default: Open Sans, which comes along)",
        metavar="FILE.ttf",
    )

    @property
    def style(self) -> Style:
        """What overlays take."""
        return Style(self.labels, self.line_width, Path(self.font))


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that all programs share."""
    add_flags(parser.add_argument_group("finding and describing faces"), ModelOptions)


def add_shared_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of stream.py and batch.py; call `settle_privacy` on what was parsed."""
    add_model_flags(parser)
    add_flags(parser.add_argument_group("following and hiding faces"), TrackingOptions)
    add_picture_flags(parser)


def add_picture_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of all programs that draw."""
    add_flags(parser.add_argument_group("what is drawn"), PictureOptions)


def settle_privacy(options: argparse.Namespace) -> None:
    """Set the options that follow from `--blur` and `--anonymous`."""
    options.blur = options.blur or (USUAL_HIDING if options.anonymous else "")
    if options.blur and options.detect_every is None:
        options.detect_every = 1  # else a new face would be visible until the next search


@dataclass(frozen=True, slots=True)
class GeneralOptions:
    """What every program has."""

    file_mode: int = flag(
        0o600,
        "who may read new outputs, for chmod: 0640 shares them with the group (default: 0600, "
        "nobody else)",
        type=file_mode,
        metavar="MODE",
    )
    verbose: bool = flag(False, "log what happens", action="store_true")


@contextlib.contextmanager
def signals_handled(handler: Any) -> Iterator[None]:
    """Handle Ctrl-C, SIGTERM and SIGHUP by `handler`; the old handlers are restored afterwards.

    SIGHUP stays ignored where it was, as nohup has it.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {each: signal.getsignal(each) for each in numbers}
    for each in before:
        signal.signal(each, handler)
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)


class PlainFormatter(logging.Formatter):
    """Writes text only: what a server says may hold codes that steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", "?", super().format(record))


class RepeatLimit(logging.Filter):
    """Lets only so many records of one kind through a minute; then reports how many were not.

    Args:
        most: records of the same logger and text, before its values are filled in.
        clock: seconds.
    """

    def __init__(self, most: int = 20, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most, self._clock = most, clock
        self._seen: dict[tuple[str, str], int] = {}
        self._began_s = clock()

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter.filter`."""
        now_s, missed = self._clock(), 0
        if now_s - self._began_s >= 60:
            missed = sum(max(0, count - self._most) for count in self._seen.values())
            self._seen, self._began_s = {}, now_s
        # Library code that fills in values itself must not get around the limit: at most
        # 100 kinds are told apart, all others count as one.
        key = (record.name, str(record.msg))
        key = key if key in self._seen or len(self._seen) < 100 else ("", "")
        self._seen[key] = self._seen.get(key, 0) + 1
        if missed:
            record.msg = f"{record.getMessage()} (before: {missed} messages left out)"
            record.args = ()
        return self._seen[key] <= self._most


def set_up_logging(verbose: bool) -> None:
    """Log warnings, or with `verbose` information too, to stderr in plain lines."""
    ensure_stderr()
    level = logging.INFO if verbose else logging.WARNING
    handler = logging.StreamHandler()
    handler.addFilter(RepeatLimit())
    handler.setFormatter(PlainFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
