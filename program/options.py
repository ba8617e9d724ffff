"""Options that the programs share: values, defaults, flags, and how bad ones are refused."""

import argparse
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NoReturn, TypeVar

from detectors import DETECTORS, MIN_FACE
from drawing.hiding import HIDING
from engines.choose import DEVICES, ENGINES, PRECISIONS
from errors import redact
from estimators import ARCHITECTURES
from structures import ATTRIBUTES
from tracking import MAX_AGE, MIN_HITS
from version import VERSION

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which networks find and describe faces, and on what they run; flags of the same names.

    Attributes:
        detector: a key of `detectors.DETECTORS`.
        min_face: smallest face side to look for, pixels (mtcnn).
        upsample: times that the image is doubled (dlib).
        estimator: one of `estimators.ARCHITECTURES`.
        weights: a name of weights/manifest.json or a file; None = the default ones.
        engine: "auto" or one of `engines.choose.ENGINES`.
        device: one of `engines.choose.DEVICES`.
        precision: one of `engines.choose.PRECISIONS`.
        threads: processors to keep busy, 0 = all.
        attributes: what to report, out of `structures.ATTRIBUTES`.
    """

    detector: str = "mtcnn"
    min_face: int = MIN_FACE
    upsample: int = 0
    estimator: str = "mobilenetv2"
    weights: str | None = None
    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    attributes: tuple[str, ...] = ("age", "gender")


@dataclass(frozen=True, slots=True)
class TrackingOptions:
    """How faces are followed, and hidden; flags of the same names.

    Attributes:
        detect_every: frames from one search of the whole image to the next; None = by time.
        max_age: frames for which a face that is not found again is kept.
        min_hits: frames for which a face must be found before it is shown.
        blur: a way of `drawing.hiding.HIDING`; empty = faces are shown.
    """

    detect_every: int | None = None
    max_age: int = MAX_AGE
    min_hits: int = MIN_HITS
    blur: str = ""


USUAL_MODELS, USUAL_TRACKING = ModelOptions(), TrackingOptions()


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """The files and addresses that results go to; flags of the same names.

    Attributes:
        output: file of the annotated recording.
        preset: of its encoder.
        segment: seconds after which the recording starts a new file.
        events: file of JSON lines, "-" = standard output.
        people: file of the table of people.
        mqtt: address of a broker.
        mqtt_qos: 0, 1 or 2.
        webhook: address that is posted to.
        webhook_secret: what is posted is signed with it.
        attributes: what to report, out of `structures.ATTRIBUTES`.
        anonymous: only groups are reported, and no sound is recorded: a voice tells who speaks.
    """

    output: str | None = None
    preset: str | None = None
    segment: float | None = None
    events: str | None = None
    people: str | None = None
    mqtt: str | None = None
    mqtt_qos: int = 1
    webhook: str | None = None
    webhook_secret: str | None = None
    attributes: tuple[str, ...] = USUAL_MODELS.attributes
    anonymous: bool = False


def collect(kind: type[T], namespace: argparse.Namespace) -> T:
    """An options dataclass out of parsed flags; what has no flag keeps its default."""
    names = [each.name for each in fields(kind) if hasattr(namespace, each.name)]  # type: ignore[arg-type]
    return kind(**{name: getattr(namespace, name) for name in names})


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
    usual = USUAL_MODELS
    find = parser.add_argument_group("finding faces")
    find.add_argument(
        "--detector", choices=DETECTORS, default=usual.detector, help="default: %(default)s"
    )
    find.add_argument(
        "--min-face",
        type=number(int, 20),
        default=usual.min_face,
        metavar="PX",
        help="mtcnn: smallest face to look for, pixels; smaller is slower (default: %(default)s)",
    )
    find.add_argument(
        "--upsample",
        type=number(int, 0, 3),
        default=usual.upsample,
        metavar="N",
        help="dlib: double the picture N times; finds faces below 80 px (default: %(default)s)",
    )
    describe = parser.add_argument_group("describing them")
    describe.add_argument(
        "--estimator", choices=ARCHITECTURES, default=usual.estimator, help="default: %(default)s"
    )
    describe.add_argument(
        "--weights",
        metavar="NAME|FILE",
        help="a model of weights/manifest.json, or your own .onnx or .keras file",
    )
    describe.add_argument(
        "--engine",
        choices=("auto", *ENGINES),
        default=usual.engine,
        help="what runs the networks; auto: TensorFlow or ONNX Runtime where they can use a GPU, "
        "else OpenVINO (default: %(default)s)",
    )
    describe.add_argument(
        "--device",
        choices=DEVICES,
        default=usual.device,
        help="where mtcnn and the estimator run; auto: an NVIDIA GPU where one can be used, "
        "else the processor (default: %(default)s)",
    )
    describe.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=usual.precision,
        help="of the networks' numbers; auto: the quickest that changes no accuracy; float32: "
        "as exact as can be, in mtcnn too; int8: a fifth quicker on processors, for the default "
        "weights (default: %(default)s)",
    )
    describe.add_argument(
        "--threads",
        type=number(int, 1, 1024),
        default=usual.threads,
        metavar="N",
        help="processors to keep busy (default: all that there are)",
    )
    describe.add_argument(
        "--attributes",
        type=attribute_list,
        default=usual.attributes,
        metavar="LIST",
        help="what to report, out of age,gender,ethnicity (default: age,gender)",
    )


def every(text: str) -> int | None:
    """An argparse type: a number of frames from 1 on, or `auto`, which is None."""
    if text == "auto":
        return None
    frames: int = number(int, 1)(text)
    return frames


def add_tracking_options(parser: argparse.ArgumentParser) -> None:
    """Add how often faces are looked for and how long they are followed."""
    usual = USUAL_TRACKING
    follow = parser.add_argument_group("following faces")
    follow.add_argument(
        "--detect-every",
        type=every,
        default=usual.detect_every,
        metavar="N|auto",
        help="search the whole picture in every Nth frame, and between only near the faces that "
        "are known; auto: five times a second, less often under load (default: auto)",
    )
    follow.add_argument(
        "--max-age",
        type=number(int, 0),
        default=usual.max_age,
        metavar="N",
        help="frames for which a face that is not found again is kept (default: %(default)s)",
    )
    follow.add_argument(
        "--min-hits",
        type=number(int, 1),
        default=usual.min_hits,
        metavar="N",
        help="frames for which a face must be found before it is shown (default: %(default)s)",
    )


def add_privacy_options(parser: argparse.ArgumentParser) -> None:
    """Add what hides faces and people; `settle_privacy` must follow."""
    hide = parser.add_argument_group("privacy")
    hide.add_argument(
        "--blur",
        nargs="?",
        const="pixelate",
        default="",
        choices=HIDING,
        help="hide faces in every output (pixelate or blur; default: pixelate); the whole "
        "picture is then searched in every frame unless --detect-every says otherwise",
    )
    hide.add_argument(
        "--anonymous",
        action="store_true",
        help="report only groups of five and more: no boxes, stills or sound, faces hidden",
    )


def settle_privacy(options: argparse.Namespace) -> None:
    """What follows from `--blur` and `--anonymous` for the other options."""
    options.blur = options.blur or ("pixelate" if options.anonymous else "")
    if options.blur and options.detect_every is None:
        options.detect_every = 1  # or else a new face would be seen until the next search


def add_general_options(parser: argparse.ArgumentParser) -> None:
    """Add `--verbose` and `--version`."""
    parser.add_argument("--verbose", action="store_true", help="say what is going on")
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")


def set_up_logging(verbose: bool) -> None:
    """Warnings, or with `verbose` everything worth knowing, go to stderr in plain lines."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s")
