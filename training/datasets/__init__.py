"""Published sets of labelled faces: the contract of their readers, and the menu.

A reader is a module that turns the layout in which a set is published into faces as
`training.labels` describes them. It looks at names and tables only and opens no picture.
What the published cleaning rules leave out it counts, reason by reason; what it cannot
make sense of in a table is an error that names the line.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from errors import DatasetError
from training.labels import Face


class Reading(NamedTuple):
    """What a reader found.

    Attributes:
        faces: in an order that depends on the set alone; `file` is relative to the root.
        dropped: reason -> number of faces left out for it.
    """

    faces: list[Face]
    dropped: Counter[str]


class Reader(Protocol):
    """A module for one set.

    Attributes:
        LAYOUT: what the root must hold, in a few words, for messages.
    """

    LAYOUT: str

    def read(self, root: Path) -> Reading:
        """Read the tables and names under `root`, a folder.

        Raises:
            DatasetError: a table is missing or damaged, or has a label that is none.
        """
        ...


def _module(name: str) -> Callable[[], Any]:
    return partial(import_module, f"training.datasets.{name}")


DATASETS: dict[str, Callable[[], Reader]] = {
    "utkface": _module("utkface"),
    "fairface": _module("fairface"),
    "imdb_wiki": _module("imdb_wiki"),
    "adience": _module("adience"),
    "fgnet": _module("fgnet"),
    "lfw": _module("lfw"),
    "appa_real": _module("appa_real"),
    "appa_real_apparent": _module("appa_real_apparent"),
}


def read_dataset(name: str, root: Path) -> Reading:
    """Read the set called `name`.

    Args:
        name: a key of `DATASETS`.
        root: the folder that holds the set.

    Raises:
        DatasetError: the set is unknown, missing, empty or damaged.
    """
    if name not in DATASETS:
        raise DatasetError(f"no reader for a set {name!r}; there are {', '.join(DATASETS)}")
    if not root.is_dir():
        raise DatasetError(f"there is no folder {root}; check --root")
    reader = DATASETS[name]()
    try:
        reading = reader.read(root)
    except OSError as error:
        raise DatasetError(
            f"cannot read {root}: {error.strerror}; check its permissions"
        ) from error
    if not reading.faces:
        why = "".join(f", {n} left out: {reason}" for reason, n in reading.dropped.items())
        raise DatasetError(f"{root} holds no faces of {name}{why}; want {reader.LAYOUT}")
    return reading


__all__ = ["DATASETS", "Reader", "Reading", "read_dataset"]
