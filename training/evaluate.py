"""Measure networks on labelled faces: figures, tables and a page to look at.

    python -m training.evaluate WEIGHTS... --data DIR --sets utkface fairface:test --out out/
    python -m training.evaluate WEIGHTS --folder my-photos/ --out out/

WEIGHTS are names of weights/manifest.json, .keras or .onnx files; by default all that come with
the program. `--sets` are sets of aligned chips as `training.prepare` makes them, `--folder` your
own photographs, in which faces are found and aligned first.

`--out` then holds report.html (everything, in one file that needs no network), metrics.json,
a CSV table of predictions for each network and set (with --worst a picture, too), and, for a
folder, error_card.html: what to expect of such faces. docs/evaluation.md explains the figures.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from detectors import DETECTORS, MIN_FACE, make_detector
from engines.choose import DEVICES, ENGINES, PRECISIONS
from errors import DatasetError, StreamError
from estimators import ARCHITECTURES, Estimator, make_estimator
from estimators.age import AGE_CLASSES
from files import check_writable
from program.options import OneLineParser, number
from training.chips import from_afar, load_chips
from training.judging import report
from training.judging.contenders import BATCHES, Contender, estimate_all, load, time_ms
from training.judging.labelled_photos import NAMES, Examples, cut_faces, read_labels
from training.judging.results import Result, judge, make_folder, metrics_json, predictions
from training.judging.scores import Group, groups_of
from training.labels import read_table
from training.result_files import write_bytes


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; bad values exit with one line and code 2."""
    parser = OneLineParser(
        prog="python -m training.evaluate", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("weights", nargs="*", metavar="WEIGHTS", help="names or files (default: all shipped)")
    add("--data", type=Path, metavar="DIR", help="folder that holds the sets")
    add("--sets", nargs="+", default=[], metavar="NAME[:SPLIT]", help="default split: test")
    add("--out", type=Path, required=True, metavar="DIR", help="where the results go")
    add("--both-ways", action="store_true",
        help="chips, too, with their mirror images, as photographs are")  # fmt: skip
    add("--eye-distance", nargs="+", type=number(int, 2), default=[], metavar="PX",
        help="measure each set again, reduced until the eyes are PX apart")  # fmt: skip
    add("--classes", nargs="+", type=int, choices=AGE_CLASSES, default=[7],
        help="schemes of age classes to count by (default: 7)")  # fmt: skip
    add("--resamples", type=number(int, 0), default=1000, help="for the intervals (default: 1000)")
    add("--seed", type=number(int, 0), default=0, help="of the resampling, and of the faces shown")
    add("--limit", type=number(int, 1), metavar="N", help="only N faces of each set, for trials")
    add("--no-faces", action="store_true", help="leave images of faces out of the report")
    add("--worst", type=number(int, 0), default=0, metavar="N",
        help="a picture of the N worst ages of each age band, of each network and set")  # fmt: skip
    add("--card", type=Path, metavar="FILE.md", help="write the accuracy into a model card")
    _add_photographs(parser.add_argument_group("photographs"))
    _add_networks(parser.add_argument_group("networks"))
    options = parser.parse_args(arguments)
    if not options.sets and not options.folder:
        parser.error("choose what to evaluate on with --data DIR --sets NAME or --folder DIR")
    if options.sets and not options.data:
        parser.error("give the folder of the sets with --data")
    if options.card and len(options.weights) != 1:
        parser.error("a card is of one model: give one WEIGHTS with --card")
    if options.card and options.limit:
        parser.error("a card is of all faces of a set: leave out --card or --limit")
    return options


def _add_photographs(group: Any) -> None:
    add = group.add_argument
    add(
        "--folder",
        metavar="[NAME=]DIR",
        help="labelled photographs; NAME is their name in the report",
    )
    add("--names", choices=("auto", "labels", *NAMES), default="auto",
        help="where labels are: labels.csv, or names of files (default: the table if it exists, "
        "else names like AGE_GENDER_RACE_x.jpg)")  # fmt: skip
    add("--detector", nargs="+", choices=DETECTORS, default=["mtcnn"], help="default: mtcnn")
    smallest = {"type": number(int, 20), "default": MIN_FACE, "metavar": "PX"}
    add("--min-face", **smallest, help="mtcnn: smallest face")


def _add_networks(group: Any) -> None:
    add = group.add_argument
    add("--estimator", choices=ARCHITECTURES, help="of the files (default: by their size)")
    add("--engine", choices=("auto", *ENGINES), default="auto")
    add("--device", choices=DEVICES, default="auto")
    add("--precision", choices=PRECISIONS, default="auto")
    add("--threads", type=number(int, 1, 1024), metavar="N", help="default: all")


def run(options: argparse.Namespace, make: Callable[..., Estimator] = make_estimator) -> str:
    """Evaluate and write everything; return the short table as Markdown."""
    report.check()
    make_folder(options.out)
    if options.card:
        _check_card(options)
    engine = {"engine": options.engine, "device": options.device, "precision": options.precision}
    threads = options.threads or 0
    contenders = load(options.weights, options.estimator, make, threads=threads, **engine)
    sets = list(gather(options, contenders))
    results = []
    for examples in sets:
        groups = groups_of(examples.chips) + common_groups(examples, sets)
        for contender in contenders:
            results.append(evaluate(contender, examples, groups, options))
            table = options.out / f"{_plain(examples.name)}.{_plain(contender.name)}.csv"
            write_bytes(table, predictions(results[-1]))
            if options.worst:
                write_sheet(table.with_suffix(".worst.jpg"), results[-1], options.worst)
    for contender in contenders:
        images = sets[0].images(contender.estimator.input_size)
        contender.ms = {batch: time_ms(contender.estimator, images, batch) for batch in BATCHES}
    write_reports(options, contenders, results)
    return report.short_table(results, contenders)


def gather(options: argparse.Namespace, contenders: Sequence[Contender]) -> Iterator[Examples]:
    """Yield the sets; DatasetError if one is missing, damaged or empty."""
    for text in options.sets:
        name, _, split = text.partition(":")
        split = split or _usual_split(options.data / f"{name}.csv")
        chips = load_chips(options.data, name, split)
        title, chips = f"{name} {split}".strip(), chips.take(_some(len(chips), options.limit))
        yield Examples(title, chips)
        for pixels in options.eye_distance:
            small = replace(chips, images=from_afar(chips.images, pixels))
            yield Examples(f"{title}, eyes {pixels} px apart", small)
    if options.folder:
        name, folder = _named_folder(options.folder)
        faces, notes = read_labels(folder, options.names)
        faces = [faces[i] for i in _some(len(faces), options.limit)]
        sides = {contender.estimator.input_size for contender in contenders}
        for kind in options.detector:
            title = f"{name} by {kind}" if len(options.detector) > 1 else name
            detector = make_detector(
                kind, options.min_face, threads=options.threads or 0, device=options.device
            )
            yield cut_faces(folder, faces, detector, sides, title, notes)


def evaluate(
    contender: Contender, examples: Examples, groups: list[Group], options: argparse.Namespace
) -> Result:
    """Run one network on one set, and measure its estimates.

    Photographs are estimated as `predict.py` does it: with their mirror images.
    """
    images = examples.images(contender.estimator.input_size)
    both_ways = options.both_ways or examples.from_photographs
    title = f"{contender.name} on {examples.name}"
    with tqdm(total=len(images), unit="face", desc=title, disable=None) as bar:
        estimates = estimate_all(contender.estimator, images, bar.update, both_ways)
    return judge(
        contender.name,
        examples,
        estimates,
        groups,
        options.classes,
        options.resamples,
        options.seed,
    )


def write_sheet(path: Path, result: Result, most: int) -> None:
    """Write the picture of the worst ages, where any age is known; SinkError if it cannot be."""
    sheet = report.contact_sheet(result, most)
    if sheet is not None:
        write_bytes(path, cv2.imencode(".jpg", sheet)[1].tobytes())


def common_groups(examples: Examples, sets: Sequence[Examples]) -> list[Group]:
    """Return the photographs in which each of several detectors finds a face, as a group."""
    files = [set(one.chips.files.tolist()) for one in sets if one.from_photographs]
    if not examples.from_photographs or len(files) < 2:
        return []
    both = set.intersection(*files)
    rows = np.array([file in both for file in examples.chips.files.tolist()], np.bool_)
    return [Group("found", "found by all detectors", rows)] if rows.any() else []


def write_reports(
    options: argparse.Namespace, contenders: Sequence[Contender], results: Sequence[Result]
) -> None:
    """Write metrics.json, report.html and the requested cards; SinkError if one cannot be."""
    about = report.about(options.seed, options.resamples)
    times = {contender.name: contender.ms for contender in contenders}
    write_bytes(options.out / "metrics.json", metrics_json(results, times, about))
    page = report.page(results, contenders, about, faces=not options.no_faces)
    write_bytes(options.out / "report.html", page.encode())
    photographs = [result for result in results if result.examples.from_photographs]
    if photographs:
        write_bytes(options.out / "error_card.html", report.error_card(photographs).encode())
    if options.card:
        text = report.model_card(
            results, options.card.stem, _command(options), _read_card(options.card)
        )
        write_bytes(options.card, text.encode())


def _check_card(options: argparse.Namespace) -> None:
    """Raise DatasetError if the card has figures that this run would drop, not measure anew."""
    check_writable(options.card, (".md",))
    lost = report.lost_sets(_read_card(options.card), _command(options))
    if lost:
        raise DatasetError(
            f"{options.card} also has figures of {', '.join(lost)}, which would be lost: "
            "measure these, too, or write another card"
        )


def _read_card(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _command(options: argparse.Namespace) -> str:
    """Return the command that reproduces the figures of a model card."""
    parts = ["python -m training.evaluate", *(Path(text).name for text in options.weights)]
    if options.both_ways:
        parts.append("--both-ways")
    if options.sets:
        parts += ["--data DIR --sets", *options.sets]
    if options.eye_distance:
        parts += ["--eye-distance", *map(str, options.eye_distance)]
    if options.folder:
        parts += [f"--folder {_named_folder(options.folder)[0]}=DIR --names {options.names}"]
        parts += ["--detector", *options.detector]
    return " ".join([*parts, "--out DIR"])


def _some(count: int, limit: int | None) -> NDArray[np.int64]:
    """Return at most `limit` of `count` rows, spread evenly: tables are often sorted."""
    return np.linspace(0, count - 1, min(count, limit or count)).astype(np.int64)


def _usual_split(table: Path) -> str:
    """Return the default split: test, or "" for a set without splits."""
    if not table.exists():
        return "test"  # reading it will report what is missing
    return "test" if any(face.split for face in read_table(table)) else ""


def _named_folder(text: str) -> tuple[str, Path]:
    """Return the photographs' name and folder."""
    name, equals, path = text.partition("=")
    if equals and not Path(text).exists():
        return name, Path(path)
    return Path(text).resolve().name, Path(text)


def _plain(name: str) -> str:
    """Return a name that is valid on any file system."""
    return re.sub(r"[^\w.-]+", "-", name)


def main(
    arguments: Sequence[str] | None = None, make: Callable[..., Estimator] = make_estimator
) -> int:
    """Run the command; return 0, 2 after a one-line error, or 130 after Ctrl-C."""
    options = parse_arguments(arguments)
    try:
        print(run(options, make))
    except StreamError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"evaluate: interrupted; finished tables are in {options.out}", file=sys.stderr)
        return 130
    print(f"report: {options.out / 'report.html'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
