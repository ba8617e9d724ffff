"""Age and gender of the faces in pictures: a table, and annotated copies.

Each face is estimated once, without smoothing; for video see stream.py.
"""

import argparse
import contextlib
import itertools
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Never

import cv2
from tqdm import tqdm

from detectors import Detector
from drawing.overlay import USUAL_STYLE, Style, draw_labels, track_colour
from errors import SinkError, SourceError, StreamError
from estimators import Estimator
from files import created_with, sink_error, write_whole
from people.wording import counted, label_lines
from program.assemble import Assembly
from program.completion import add_completion
from program.face_tables import (
    Row,
    as_rows,
    columns,
    predict_features,
    sole_table,
    write_table,
)
from program.options import (
    GeneralOptions,
    ModelOptions,
    OneLineParser,
    PictureOptions,
    add_flags,
    add_model_flags,
    add_picture_flags,
    collect,
    set_up_logging,
    signals_handled,
)
from program.photographs import describe_images, described
from sources.photographs import list_pictures, load_picture, natural_key, silent_opencv
from structures import Detections, Estimates, Image

_NAMED = 3  # files that one line names

EPILOG = """\
examples:
  python predict.py holiday.jpg                          a table on the screen
  python predict.py photos/ --recursive                  folders within it, too
  python predict.py photos/ --table faces.csv --pictures annotated/
  python predict.py holiday.jpg --json | jq '.[].age_years'
  python predict.py --features embeddings.csv            from FaceNet's 512 numbers a face
"""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; bad values end the program with one line and exit code 2."""
    parser = OneLineParser(
        prog="predict.py",
        description=__doc__.partition("\n")[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="pictures and folders of pictures")
    parser.add_argument(
        "--recursive", action="store_true", help="search the folders within folders, too"
    )
    parser.add_argument(
        "--features",
        metavar="FILE.csv",
        help="in place of pictures: embeddings made elsewhere, a line a face (--weights: heads "
        "of facenet)",
    )
    out = parser.add_argument_group("output")
    out.add_argument(
        "--table",
        metavar="FILE",
        help="one row a face, .csv or .json; - is standard output (default)",
    )
    out.add_argument("--json", action="store_true", help="on standard output: JSON in place of CSV")
    out.add_argument(
        "--pictures",
        metavar="DIR",
        help="where to save annotated copies; files there are kept, and new ones numbered",
    )
    add_model_flags(parser)
    add_picture_flags(parser)
    add_flags(parser, GeneralOptions)
    add_completion(parser)
    options = parser.parse_args(arguments)
    if bool(options.paths) == bool(options.features):
        parser.error("want pictures or folders, or --features FILE.csv")
    if options.table == "-":
        options.table = None
    if options.json and options.table:
        parser.error("--json is about standard output; name the table FILE.json instead")
    if options.features and options.pictures:
        parser.error("--pictures wants pictures, and --features has none")
    return options


@dataclass(frozen=True, slots=True)
class Findings:
    """What the paths of the command line lead to.

    Attributes:
        pictures: in natural order, each once.
        others: files in the folders that are no pictures by their names.
        folders: in the folders, which are not searched.
    """

    pictures: list[Path]
    others: list[Path]
    folders: list[Path]

    def notes(self) -> list[str]:
        """What is left out, one text each."""
        notes = []
        if self.others:
            what = counted(len(self.others), "file") + " not called a picture"
            notes.append(f"{what} ({shortened(map(str, self.others))})")
        if self.folders:
            what = counted(len(self.folders), "folder") + " not searched without --recursive"
            notes.append(f"{what} ({shortened(map(str, self.folders))})")
        return notes


def shortened(texts: Iterable[str], between: str = ", ") -> str:
    """Return a few of the texts, and how many more there are."""
    found = list(texts)
    more = f"{between}and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return between.join(found[:_NAMED]) + more


def find_pictures(paths: Iterable[str], recursive: bool = False) -> Findings:
    """Find the pictures that `paths` name, folders expanded: with `recursive` to any depth.

    Raises:
        SourceError: a path does not exist or cannot be read, or a folder holds no pictures.
    """
    pictures: dict[Path, None] = {}
    others: list[Path] = []
    closed: list[Path] = []
    for path in map(Path, paths):
        try:
            if not path.exists():
                raise SourceError(f"{path} does not exist; check the path")
            if path.is_dir():
                found, rest = _sorted_out(path, recursive)
            else:
                found, rest = [path], []
        except OSError as error:
            raise SourceError(
                f"{error.filename or path} cannot be read: {error.strerror}; check the path and "
                "its permissions"
            ) from error
        folders = [each for each in rest if each.is_dir()]
        if not found:
            hint = "; try --recursive" if folders else "; name another folder, or a picture"
            raise SourceError(f"{path} holds no pictures{hint}")
        pictures.update(dict.fromkeys(found))
        others += [each for each in rest if each not in folders]
        closed += folders
    return Findings(list(pictures), others, closed)


def _sorted_out(top: Path, recursive: bool) -> tuple[list[Path], list[Path]]:
    """Return the pictures of a folder, and all else that is in it and not searched."""
    pictures: list[Path] = []
    rest: list[Path] = []
    for folder in _folders(top) if recursive else [top]:
        found = [path for path in list_pictures(folder) if not path.is_dir() | path.is_fifo()]
        pictures += found
        others = sorted({*folder.iterdir()}.difference(found), key=natural_key)
        rest += [path for path in others if not (recursive and path.is_dir())]
    return pictures, rest


def _folders(top: Path) -> Iterator[Path]:
    """Yield a folder and all below it, in natural order; links to folders are not followed."""

    def refuse(error: OSError) -> None:
        raise error

    for name, below, _ in os.walk(top, onerror=refuse):
        below.sort(key=lambda each: natural_key(Path(each)))
        yield Path(name)


def describe(
    image: Image, detector: Detector, estimator: Estimator
) -> tuple[Detections, Estimates]:
    """Find and describe the faces of one image, (H, W, 3) uint8 BGR; row i is face i."""
    (found,) = describe_images([image], detector, estimator)
    return found


def annotate(
    image: Image,
    detections: Detections,
    estimates: Estimates,
    attributes: Collection[str],
    style: Style = USUAL_STYLE,
) -> Image:
    """A copy of the image with a labelled box on every face."""
    drawn = image.copy()
    people = described(estimates)
    kind = style.kind((image.shape[1], image.shape[0]), len(people))
    texts = [label_lines(person, kind=kind, attributes=attributes) for person in people]
    colours = [track_colour(i + 1) for i in range(len(people))]
    draw_labels(drawn, detections.boxes, texts, colours, style=style)
    return drawn


class PictureFolder:
    """Saves annotated copies under their own names, numbered where one is taken.

    Raises:
        SinkError: the folder cannot be made, or holds one of the pictures to be read.
    """

    def __init__(self, folder: str, sources: Iterable[Path]) -> None:
        self._folder = Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise sink_error(self._folder, error) from error
        folders = {each.parent.resolve() for path in sources for each in (path, path.resolve())}
        if self._folder.resolve() in folders:
            raise SinkError(f"--pictures {folder} holds the originals; choose another folder")

    def save(self, image: Image, source: Path) -> None:
        """Write `image`, (H, W, 3) uint8 BGR, in the format of `source`, else as .png.

        Raises:
            SinkError: it cannot be written; nothing is left of it.
        """
        stem, suffix, data = source.stem, source.suffix, encode(image, source.suffix)
        if data is None:
            stem, suffix, data = source.name, ".png", encode(image, ".png")
        if data is None:
            raise SinkError(f"{self._folder / source.name}: cannot be written as a picture")
        try:
            target = self._take_name(stem, suffix)
            try:
                write_whole(target, data)
            except BaseException:
                target.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise sink_error(self._folder / source.name, error) from error

    def _take_name(self, stem: str, suffix: str) -> Path:
        """Return the first path that is free, with an empty file there: it is nobody else's."""
        for n in itertools.count(1):
            target = self._folder / (f"{stem}-{n}{suffix}" if n > 1 else stem + suffix)
            try:
                target.touch(exist_ok=False)
            except FileExistsError:
                if target.is_dir():
                    raise
            else:
                return target
        raise AssertionError


def encode(image: Image, suffix: str) -> bytes | None:
    """Encode `image`, (H, W, 3) uint8 BGR, in the format of `suffix`, such as ".jpg".

    None where OpenCV cannot write that format, or this image in it.
    """
    with silent_opencv(), contextlib.suppress(cv2.error):
        done, data = cv2.imencode(suffix, image)
        if done:
            return data.tobytes()
    return None


def describe_all(
    paths: Iterable[Path],
    options: argparse.Namespace,
    folder: PictureFolder | None,
    rows: list[Row],
) -> list[str]:
    """Append the faces of the pictures to `rows`, and save annotated copies in `folder`.

    Returns what is wrong with those that cannot be read.
    """
    style = collect(PictureOptions, options).style
    if folder:
        style.check()
    assembly = Assembly(collect(ModelOptions, options))
    detector, estimator = assembly.detector(options.threads), assembly.estimator()
    unread: list[str] = []
    for path in tqdm(paths, unit="picture", disable=None):
        try:
            image = load_picture(path, str(path))
        except SourceError as error:
            unread.append(str(error))
            continue
        detections, estimates = describe(image, detector, estimator)
        rows += as_rows(path, detections, estimates)
        if folder:
            drawn = annotate(image, detections, estimates, options.attributes, style)
            folder.save(drawn, path)
    return unread


def run(options: argparse.Namespace) -> tuple[str, bool]:
    """Read, describe, write; returns a summary, and whether every picture could be read.

    An error at one picture ends the run, but the table of those before it is written.
    """
    if options.features:
        found = Findings([Path(options.features)], [], [])
    else:
        found = find_pictures(options.paths, options.recursive)
    with sole_table(options.table, found.pictures) as replaces:
        if replaces:
            print(f"predict.py: {options.table}: replaces that of an earlier run", file=sys.stderr)
        if not options.features:
            return _describe_pictures(found, options)
        summary = predict_features(
            options.features, options.table, options.weights, options.attributes, options.json
        )
        return summary, True


def _describe_pictures(found: Findings, options: argparse.Namespace) -> tuple[str, bool]:
    paths = found.pictures
    folder = PictureFolder(options.pictures, paths) if options.pictures else None
    rows: list[Row] = []
    try:
        unread = describe_all(paths, options, folder, rows)
    except (Exception, KeyboardInterrupt) as error:
        if rows:
            write_table(options.table, rows, columns(options.attributes), options.json)
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(f"{counted(len(rows), 'face')} in the table") from None
        raise
    if len(unread) == len(paths):
        raise SourceError(shortened(unread, "; "))
    write_table(options.table, rows, columns(options.attributes), options.json)
    faceless = len(paths) - len(unread) - len({row["file"] for row in rows})
    summary = f"{counted(len(rows), 'face')} in {counted(len(paths), 'picture')}"
    left_out = [shortened(unread, "; ")] * bool(unread) + found.notes()
    return "; left out: ".join([f"{summary}, {faceless} without a face", *left_out]), not unread


def interrupt(number: int, frame: FrameType | None) -> Never:
    """A signal's handler: whichever it is, the table of the pictures so far is written."""
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code.

    0, 1 where some pictures could not be read, 2 after one line on what is wrong, or 130 after
    Ctrl-C and other signals.
    """
    options = parse_arguments(arguments)
    set_up_logging(options.verbose)
    try:
        with created_with(options.file_mode), signals_handled(interrupt):
            summary, whole = run(options)
    except StreamError as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        kept = str(error) or "nothing written to the table"
        print(f"predict.py: interrupted, {kept}", file=sys.stderr)
        return 130
    print(summary, file=sys.stderr)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
