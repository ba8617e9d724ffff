"""Turn a published set of faces into aligned chips with one table.

Writes OUT/NAME.tar (chips), NAME.csv (labels, see training/labels.py), NAME.json (counts,
reasons, settings, versions) and NAME.png (who is in it). docs/datasets.md tells where the sets
are published and what is left out of them.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectors import DETECTORS
from errors import StreamError
from estimators.embedders import make_embedder
from program.options import OneLineParser, attribute_list, number
from training.datasets import DATASETS
from training.embeddings import write_embeddings
from training.preparing.cutting import CANONICAL_MARGIN, Cut
from training.preparing.steps import Settings, prepare

EPILOG = """\
Ctrl-C stops; the same command goes on where it was.

examples:
  python -m training.prepare utkface --root UTKFace/ --out data/
  python -m training.prepare fairface --root FairFace/ --out data/ --aligned
"""
_INTERRUPTED = 130


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; bad values end the program with one line and exit code 2."""
    parser = OneLineParser(
        prog="python -m training.prepare",
        description=__doc__.partition("\n")[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help=f"the set: {', '.join(DATASETS)}")
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="where it is")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="is made")
    parser.add_argument(
        "--replace", action="store_true", help="begin anew where OUT holds the set made otherwise"
    )
    _add_face_options(parser.add_argument_group("faces"))
    _add_chip_options(parser.add_argument_group("chips"))
    _add_split_options(parser.add_argument_group("splits"))
    options = parser.parse_args(arguments)
    if options.aligned and options.margin != CANONICAL_MARGIN:
        parser.error("--aligned takes the pictures as they are; leave --margin out")
    if options.test_share + options.val_share > 1:
        parser.error("--test-share and --val-share must not be more than 1 together")
    return options


def _add_face_options(group: Any) -> None:
    group.add_argument(
        "--need",
        type=attribute_list,
        default=(),
        metavar="LIST",
        help="leave out faces that lack one of these labels, out of age,gender,ethnicity",
    )
    group.add_argument("--limit", type=number(int, 1), metavar="N", help="only the first N faces")
    group.add_argument(
        "--several",
        choices=("refuse", "largest"),
        default="refuse",
        help="what to do with pictures of several faces (default: %(default)s them)",
    )
    group.add_argument(
        "--detector", choices=DETECTORS, default="mtcnn", help="default: %(default)s"
    )
    group.add_argument(
        "--min-face",
        type=number(int, 20),
        default=40,
        metavar="PX",
        help="mtcnn: smallest face to look for (default: %(default)s)",
    )


def _add_chip_options(group: Any) -> None:
    group.add_argument(
        "--size", type=number(int, 16, 1024), default=112, metavar="PX", help="default: %(default)s"
    )
    group.add_argument(
        "--margin",
        type=number(float, 0, 4),
        default=CANONICAL_MARGIN,
        metavar="SHARE",
        help="around the tight face, as in dlib's get_face_chip (padding); all weights here were "
        "trained with the default, %(default)s",
    )
    group.add_argument(
        "--aligned",
        action="store_true",
        help="the pictures are aligned chips already: take them as they are, but for the size",
    )
    group.add_argument(
        "--embeddings",
        nargs="?",
        const="facenet",
        metavar="NAME|FILE",
        help="write the chips' embeddings beside them, too; see training.embeddings",
    )
    group.add_argument(
        "--workers",
        type=number(int, 1, 1024),
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (default: one a core)",
    )


def _add_split_options(group: Any) -> None:
    group.add_argument(
        "--splits",
        choices=("published", "fresh"),
        default="published",
        help="keep the published splits where there are some, or draw anew (default: %(default)s)",
    )
    share = number(float, 0, 1)
    for name, default in (("test", 0.2), ("val", 0.0)):
        group.add_argument(
            f"--{name}-share",
            type=share,
            default=default,
            metavar="SHARE",
            help=f"of the faces that go to {name} where splits are drawn (default: %(default)s)",
        )
    group.add_argument(
        "--seed", type=number(int, 0), default=0, metavar="N", help="of the draw (default: 0)"
    )


def settings_of(options: argparse.Namespace) -> Settings:
    """What the outputs depend on."""
    cut = Cut(
        size=options.size,
        margin=options.margin,
        detector=options.detector,
        min_face=options.min_face,
        several=options.several,
        aligned=options.aligned,
    )
    return Settings(
        name=options.name.lower().replace("-", "_"),
        cut=cut,
        need=options.need,
        limit=options.limit,
        fresh=options.splits == "fresh",
        test_share=options.test_share,
        val_share=options.val_share,
        seed=options.seed,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        The exit code: 0, 2 after one line on what is wrong, 130 after Ctrl-C.
    """
    options = parse_arguments(arguments)
    settings = settings_of(options)
    try:
        embedder = make_embedder(options.embeddings) if options.embeddings else None
        summary = prepare(settings, options.root, options.out, options.workers, options.replace)
        if embedder:
            write_embeddings(options.out, settings.name, options.out, embedder)
    except StreamError as error:
        print(f"training.prepare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("training.prepare: stopped; give the same command again to go on", file=sys.stderr)
        return _INTERRUPTED
    print(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
