"""Age and gender of the faces in pictures: a table, and annotated copies.

One look at each face, nothing smoothed; for video see stream.py.
"""

import argparse
import csv
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import cv2
from tqdm import tqdm

from detectors import Detector, make_detector
from errors import SinkError, SourceError, StreamError
from estimators import Estimator, make_estimator
from estimators.crops import align
from options import OneLineParser, add_model_options, check_ethnicity, set_up_logging
from structures import ETHNICITIES, Detections, Estimates, Gender, Image, Smoothed
from video.outputs import check_writable, sink_error
from video.overlay import draw_labels, label_lines, track_colour
from video.pictures import list_pictures, read_picture

Row = dict[str, str | int | float]

EPILOG = """\
examples:
  python predict.py holiday.jpg                          a table on the screen
  python predict.py photos/ --table faces.csv --pictures annotated/
"""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; bad values end the program with one line and exit code 2."""
    parser = OneLineParser(
        prog="predict.py",
        description=__doc__.partition("\n")[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="pictures and folders of pictures")
    out = parser.add_argument_group("output")
    out.add_argument(
        "--table",
        metavar="FILE",
        help="one row a face, .csv or .json (default: CSV on standard output)",
    )
    out.add_argument("--pictures", metavar="DIR", help="where to save annotated copies")
    out.add_argument("--verbose", action="store_true", help="tell what is going on")
    add_model_options(parser)
    return parser.parse_args(arguments)


def find_pictures(paths: Iterable[str]) -> list[Path]:
    """The pictures that `paths` name, folders expanded, in natural order, each once.

    Raises:
        SourceError: a path does not exist, or a folder holds no pictures.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise SourceError(f"{path} does not exist; check the path")
        pictures = list_pictures(path) if path.is_dir() else [path]
        if not pictures:
            raise SourceError(f"{path} holds no pictures; name another folder, or a picture")
        found.update(dict.fromkeys(pictures))
    return list(found)


def describe(
    image: Image, detector: Detector, estimator: Estimator
) -> tuple[Detections, Estimates]:
    """Find and describe the faces of one picture, (H, W, 3) uint8 BGR; row i is face i."""
    detections = detector.detect(image)
    points = detections.landmarks
    if points is None:
        raise ValueError("detector must give landmarks, got none")
    chips = align(image, points, detector.landmark_template, estimator.input_size)
    return detections, estimator.estimate(chips)


def columns(attributes: Collection[str]) -> list[str]:
    """The table's columns for a choice of `structures.ATTRIBUTES`."""
    names = ["file", "face", "x1", "y1", "x2", "y2", "score"]
    names += ["age_years", "age_spread_years"] * ("age" in attributes)
    names += ["gender", "female_prob"] * ("gender" in attributes)
    return names + [f"{name.lower()}_prob" for name in ETHNICITIES] * ("ethnicity" in attributes)


def as_rows(path: Path, detections: Detections, estimates: Estimates) -> Iterator[Row]:
    """One row a face with all that is known of it, best detection first."""
    for i in range(len(detections)):
        x1, y1, x2, y2 = (round(float(v), 1) for v in detections.boxes[i])
        female = float(estimates.female_prob[i])
        row: Row = {
            "file": str(path),
            "face": i + 1,
            **{"x1": x1, "y1": y1, "x2": x2, "y2": y2},
            "score": round(float(detections.scores[i]), 3),
            "age_years": round(float(estimates.age_years[i]), 1),
            "age_spread_years": round(float(estimates.age_spread_years[i]), 1),
            "gender": Gender.of(female).value,
            "female_prob": round(female, 3),
        }
        if estimates.ethnicity_probs is not None:
            for name, prob in zip(ETHNICITIES, estimates.ethnicity_probs[i], strict=True):
                row[f"{name.lower()}_prob"] = round(float(prob), 3)
        yield row


def annotate(
    image: Image, detections: Detections, estimates: Estimates, attributes: Collection[str]
) -> Image:
    """A copy of the picture with a labelled box on every face."""
    picture = image.copy()
    people = [
        Smoothed(
            age_years=float(estimates.age_years[i]),
            age_uncertainty_years=float(estimates.age_spread_years[i]),
            female_prob=float(estimates.female_prob[i]),
            gender=Gender.of(float(estimates.female_prob[i])),
            samples=1,
            converged=False,
            ethnicity_probs=None
            if estimates.ethnicity_probs is None
            else estimates.ethnicity_probs[i],
        )
        for i in range(len(estimates))
    ]
    texts = [label_lines(person, attributes=attributes) for person in people]
    colours = [track_colour(i + 1) for i in range(len(people))]
    draw_labels(picture, detections.boxes, texts, colours)
    return picture


def write_table(path: str | None, rows: Sequence[Row], names: Sequence[str]) -> None:
    """Write the columns `names` of `rows`, to standard output where `path` is None.

    A .csv or .json file is written whole or not at all.

    Raises:
        SinkError: it cannot be written.
    """
    if path is None:
        _write_csv(sys.stdout, rows, names)
        return
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("w", newline="", encoding="utf-8") as file:
            if target.suffix.lower() == ".json":
                json.dump([{name: row[name] for name in names} for row in rows], file, indent=1)
            else:
                _write_csv(file, rows, names)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise sink_error(target, error) from error


def _write_csv(file: IO[str], rows: Sequence[Row], names: Sequence[str]) -> None:
    writer = csv.DictWriter(file, names, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)


class PictureFolder:
    """Saves annotated copies under their own names; never over another picture of the run."""

    def __init__(self, folder: str, sources: Iterable[Path]) -> None:
        """Make the folder.

        Raises:
            SinkError: it cannot be made, or holds one of the pictures to be read.
        """
        self._folder = Path(folder)
        self._used: set[str] = set()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise sink_error(self._folder, error) from error
        if any(path.parent.resolve() == self._folder.resolve() for path in sources):
            raise SinkError(f"--pictures {folder} holds the originals; choose another folder")

    def save(self, picture: Image, source: Path) -> None:
        """Write `picture`, (H, W, 3) uint8 BGR, in the format of `source`.

        Raises:
            SinkError: it cannot be written.
        """
        name, n = source.name, 1
        while name in self._used:
            n += 1
            name = f"{source.stem}-{n}{source.suffix}"
        self._used.add(name)
        target = self._folder / name
        try:
            target.write_bytes(cv2.imencode(source.suffix, picture)[1].tobytes())
        except (OSError, cv2.error) as error:
            raise sink_error(target, error) from error


def run(options: argparse.Namespace) -> str:
    """Read, describe, write; returns a summary."""
    paths = find_pictures(options.paths)
    if options.table:
        check_writable(options.table, (".csv", ".json"))
    folder = PictureFolder(options.pictures, paths) if options.pictures else None
    detector = make_detector(options.detector, options.min_face, options.upsample, options.threads)
    estimator = make_estimator(options.estimator, options.weights, options.engine, options.threads)
    check_ethnicity(options, estimator)
    rows: list[Row] = []
    unreadable: list[Path] = []
    faceless = 0
    for path in tqdm(paths, unit="picture", disable=None):
        image = read_picture(path)
        if image is None:
            unreadable.append(path)
            continue
        detections, estimates = describe(image, detector, estimator)
        rows += as_rows(path, detections, estimates)
        faceless += len(detections) == 0
        if folder:
            folder.save(annotate(image, detections, estimates, options.attributes), path)
    if len(unreadable) == len(paths):
        raise SourceError(f"{unreadable[0]} is damaged or not a picture; open it elsewhere")
    write_table(options.table, rows, columns(options.attributes))
    left_out = f"; not readable, left out: {', '.join(map(str, unreadable))}" if unreadable else ""
    return f"{len(rows)} faces in {len(paths)} pictures, {faceless} without a face{left_out}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code: 0, or 2 after one line on what is wrong."""
    options = parse_arguments(arguments)
    set_up_logging(options.verbose)
    try:
        summary = run(options)
    except StreamError as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("predict.py: interrupted, nothing written to the table", file=sys.stderr)
        return 130
    print(summary, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
