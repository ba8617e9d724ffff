"""Turn a published set of faces into aligned chips with one table.

Writes OUT/NAME.tar (chips), NAME.csv (labels, see training/labels.py), NAME.json (counts,
reasons, settings, versions) and NAME.png (charts of the faces). docs/datasets.md says where the
sets are published and what is left out of them.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from detectors import DETECTORS, MIN_FACE
from errors import StreamError
from estimators.embedders import Embedder, make_embedder
from program.options import OneLineParser, attribute_list, number
from training.datasets import DATASETS
from training.embeddings import write_embeddings
from training.preparing.cutting import CANONICAL_MARGIN, Cut
from training.preparing.steps import PrepareSettings, prepare_set

EPILOG = """\
Ctrl-C stops; rerun the command to resume.

examples:
  python -m training.prepare utkface --root UTKFace/ --out data/
  python -m training.prepare fairface --root FairFace/ --out data/ --aligned
"""
_INTERRUPTED = 130


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; bad values exit with one line and code 2."""
    parser = OneLineParser(
        prog="python -m training.prepare",
        description=__doc__.partition("\n")[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help=f"the set: {', '.join(DATASETS)}")
    add("--root", type=Path, required=True, metavar="DIR", help="folder of the published set")
    add("--out", type=Path, required=True, metavar="OUT", help="folder to write to")
    add("--replace", action="store_true", help="start over if OUT has other settings")
    _add_face_options(parser.add_argument_group("faces").add_argument)
    _add_chip_options(parser.add_argument_group("chips").add_argument)
    _add_split_options(parser.add_argument_group("splits").add_argument)
    options = parser.parse_args(arguments)
    if options.aligned and options.margin != CANONICAL_MARGIN:
        parser.error("--aligned does not crop the images; leave --margin out")
    if options.test_share + options.val_share > 1:
        parser.error("--test-share and --val-share must not add up to more than 1")
    return options


def _add_face_options(add: Callable[..., Any]) -> None:
    add("--need", type=attribute_list, default=(), metavar="LIST",
        help="leave out faces without one of these labels: age,gender,ethnicity"
    )  # fmt: skip
    add("--limit", type=number(int, 1), metavar="N", help="at most N faces, the first ones")
    add("--several", choices=("refuse", "largest"), default="refuse",
        help="what to do with images of several faces (default: %(default)s them)"
    )  # fmt: skip
    add("--detector", choices=DETECTORS, default="mtcnn", help="default: %(default)s")
    add("--min-face", type=number(int, 20), default=MIN_FACE, metavar="PX",
        help="mtcnn: smallest face to look for (default: %(default)s)")  # fmt: skip


def _add_chip_options(add: Callable[..., Any]) -> None:
    add(
        "--size", type=number(int, 16, 1024), default=112, metavar="PX", help="default: %(default)s"
    )
    add("--margin", type=number(float, 0, 4), default=CANONICAL_MARGIN, metavar="SHARE",
        help="around the tight face, as in dlib's get_face_chip (padding); all weights here were "
        "trained with the default, %(default)s")  # fmt: skip
    add("--aligned", action="store_true",
        help="the images are aligned chips already: only resize them")  # fmt: skip
    add("--embeddings", nargs="?", const="facenet", metavar="NAME|FILE",
        help="also write the chips' embeddings; see training.embeddings")  # fmt: skip
    add("--workers", type=number(int, 1, 1024), default=os.cpu_count() or 1, metavar="N",
        help="processes (default: one per core)")  # fmt: skip


def _add_split_options(add: Callable[..., Any]) -> None:
    add("--splits", choices=("published", "fresh"), default="published",
        help="keep published splits where they exist, or draw all (default: %(default)s)"
    )  # fmt: skip
    for name, default in (("test", 0.2), ("val", 0.0)):
        add(f"--{name}-share", type=number(float, 0, 1), default=default, metavar="SHARE",
            help=f"of the faces that go to {name} where splits are drawn (default: %(default)s)"
        )  # fmt: skip
    add("--seed", type=number(int, 0), default=0, metavar="N", help="of the draw (default: 0)")


def settings_of(options: argparse.Namespace) -> PrepareSettings:
    """Return the settings that the outputs depend on."""
    kinds = ("size", "margin", "detector", "min_face", "several", "aligned")
    cut = Cut(**{kind: getattr(options, kind) for kind in kinds})
    return PrepareSettings(
        name=options.name.lower().replace("-", "_"),
        cut=cut,
        need=options.need,
        limit=options.limit,
        fresh=options.splits == "fresh",
        test_share=options.test_share,
        val_share=options.val_share,
        seed=options.seed,
    )


def main(
    arguments: Sequence[str] | None = None, make: Callable[..., Embedder] = make_embedder
) -> int:
    """Run the command; return 0, 2 after a one-line error, or 130 after Ctrl-C."""
    options = parse_arguments(arguments)
    settings = settings_of(options)
    try:
        embedder = make(options.embeddings) if options.embeddings else None
        summary = prepare_set(settings, options.root, options.out, options.workers, options.replace)
        if embedder:
            write_embeddings(options.out, settings.name, options.out, embedder)
    except StreamError as error:
        print(f"training.prepare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("training.prepare: stopped; rerun the command to resume", file=sys.stderr)
        return _INTERRUPTED
    print(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
