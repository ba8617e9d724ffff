"""Command-line options that the programs share, and how they refuse bad ones."""

import argparse
import logging
from collections.abc import Callable
from typing import Any, NoReturn

from detectors import DETECTORS
from engines.choose import DEVICES, ENGINES, PRECISIONS
from errors import WeightsError, redact
from estimators import ARCHITECTURES, Estimator
from files import ensure_stderr
from structures import ATTRIBUTES
from tracking import MAX_AGE, MIN_HITS


class OneLineParser(argparse.ArgumentParser):
    """Refuses bad arguments with one line on stderr and exit code 2, without the usage."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser.error`."""
        self.exit(2, f"{self.prog}: {redact(message)} (try --help)\n")


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


def attribute_list(text: str) -> tuple[str, ...]:
    """An argparse type: a comma-separated choice of `ATTRIBUTES`."""
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    if not chosen or set(chosen) - set(ATTRIBUTES):
        known = ", ".join(ATTRIBUTES)
        raise argparse.ArgumentTypeError(f"want a list out of {known}, got {text!r}")
    return chosen


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the choice of detector, estimator, weights and engine."""
    find = parser.add_argument_group("finding faces")
    find.add_argument("--detector", choices=DETECTORS, default="mtcnn", help="default: %(default)s")
    find.add_argument(
        "--min-face",
        type=number(int, 20),
        default=40,
        metavar="PX",
        help="mtcnn: smallest face to look for, pixels; smaller is slower (default: %(default)s)",
    )
    find.add_argument(
        "--upsample",
        type=number(int, 0, 3),
        default=0,
        metavar="N",
        help="dlib: double the picture N times; finds faces below 80 px (default: %(default)s)",
    )
    describe = parser.add_argument_group("describing them")
    describe.add_argument(
        "--estimator", choices=ARCHITECTURES, default="mobilenetv2", help="default: %(default)s"
    )
    describe.add_argument(
        "--weights",
        metavar="NAME|FILE",
        help="a model of weights/manifest.json, or your own .onnx or .keras file",
    )
    describe.add_argument(
        "--engine",
        choices=("auto", *ENGINES),
        default="auto",
        help="what runs the networks; auto: TensorFlow or ONNX Runtime where they can use a GPU, "
        "else OpenVINO (default: %(default)s)",
    )
    describe.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="where mtcnn and the estimator run; auto: an NVIDIA GPU where one can be used, "
        "else the processor (default: %(default)s)",
    )
    describe.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of the networks' numbers; auto: the quickest that changes no accuracy; float32: "
        "as exact as can be, in mtcnn too; int8: a fifth quicker on processors, for the default "
        "weights (default: %(default)s)",
    )
    describe.add_argument(
        "--threads",
        type=number(int, 1, 1024),
        metavar="N",
        help="processors to keep busy (default: all that there are)",
    )
    describe.add_argument(
        "--attributes",
        type=attribute_list,
        default=("age", "gender"),
        metavar="LIST",
        help="what to tell, out of age,gender,ethnicity (default: age,gender)",
    )


def every(text: str) -> int | None:
    """An argparse type: a number of frames from 1 on, or `auto`, which is None."""
    if text == "auto":
        return None
    frames: int = number(int, 1)(text)
    return frames


def add_tracking_options(parser: argparse.ArgumentParser) -> None:
    """Add how often faces are looked for and how long they are followed."""
    follow = parser.add_argument_group("following faces")
    follow.add_argument(
        "--detect-every",
        type=every,
        default="auto",
        metavar="N|auto",
        help="search the whole picture in every Nth frame, and between only near the faces that "
        "are known; auto: five times a second, less often under load (default: %(default)s)",
    )
    follow.add_argument(
        "--max-age",
        type=number(int, 0),
        default=MAX_AGE,
        metavar="N",
        help="frames for which a face that is not found again is kept (default: %(default)s)",
    )
    follow.add_argument(
        "--min-hits",
        type=number(int, 1),
        default=MIN_HITS,
        metavar="N",
        help="frames for which a face must be found before it is shown (default: %(default)s)",
    )


def set_up_logging(verbose: bool) -> None:
    """Warnings, or with `verbose` everything worth knowing, go to stderr in plain lines."""
    ensure_stderr()
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s")


def check_ethnicity(options: argparse.Namespace, estimator: Estimator) -> bool:
    """Whether ethnicity was asked for.

    Raises:
        WeightsError: it was, and the estimator cannot tell it.
    """
    asked = "ethnicity" in options.attributes
    if asked and not estimator.has_ethnicity:
        raise WeightsError(
            f"the weights of --estimator {options.estimator} do not tell ethnicity; "
            "leave it out of --attributes or use --estimator mobilenetv2"
        )
    return asked
