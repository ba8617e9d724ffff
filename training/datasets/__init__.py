"""Published sets of labelled faces: the contract of their readers, and the choice of them.

A reader is a module that turns the published layout of a set into `training.labels.Face`s. It
reads only names and tables and opens no image. It counts, by reason, what the published cleaning
rules leave out; a table that it cannot parse is an error that names the line.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from errors import DatasetError
from training.labels import Face


class Reading(NamedTuple):
    """The result of a reader.

    Attributes:
        faces: in an order that depends on the set alone; `file` is relative to the root.
        dropped: reason -> number of faces left out for it.
    """

    faces: list[Face]
    dropped: Counter[str]


class Reader(NamedTuple):
    """What a module for one set provides.

    Attributes:
        layout: what the root must hold, in a few words, for messages.
        read: reads the tables and names under the root, a folder; raises DatasetError where a
            table is missing or damaged, or has a bad label.
    """

    layout: str
    read: Callable[[Path], Reading]


def _reader(name: str, function: str = "read") -> Reader:
    module = import_module(f".{name}", __package__)
    return Reader(module.LAYOUT, getattr(module, function))


DATASETS: dict[str, Callable[[], Reader]] = {
    name: partial(_reader, name)
    for name in (
        "utkface",
        "fairface",
        "imdb_wiki",
        "adience",
        "fgnet",
        "lfw",
        "appa_real",
        "lagenda",
    )
}
DATASETS["appa_real_apparent"] = partial(_reader, "appa_real", "read_apparent")


def read_dataset(name: str, root: Path) -> Reading:
    """Read the set called `name`, a key of `DATASETS`, in the folder `root`.

    Raises:
        DatasetError: the set is unknown, missing, empty or damaged.
    """
    if name not in DATASETS:
        raise DatasetError(f"no reader for a set {name!r}; known: {', '.join(DATASETS)}")
    if not root.is_dir():
        raise DatasetError(f"no folder {root}; check --root")
    reader = DATASETS[name]()
    try:
        reading = reader.read(root)
    except OSError as error:
        raise DatasetError(
            f"cannot read {root}: {error.strerror}; check its permissions"
        ) from error
    if not reading.faces:
        why = "".join(f", {n} left out: {reason}" for reason, n in reading.dropped.items())
        raise DatasetError(f"{root} contains no faces of {name}{why}; want {reader.layout}")
    return reading


__all__ = ["DATASETS", "Reader", "Reading", "read_dataset"]
