"""What is written about a prepared set: counts, reasons, settings, versions, and a plot."""

import json
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import DatasetError
from structures import ETHNICITIES
from training.labels import GENDERS, Face
from training.preparing.groups import Twins
from training.result_files import git, packages, writing

BIN_YEARS = 5
_EDGES = np.arange(0, 106, BIN_YEARS)
# Told apart by all kinds of colour vision, and in grey (Okabe and Ito, 2008).
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
_INK, _SOFT = "#212529", "#5c636a"


def age_shares(faces: Sequence[Face]) -> NDArray[np.float64]:
    """How much of the faces' ages lies in each bin of five years, (21,), summing to 1.

    A range is spread evenly over its years, first and last included; 100 and more lie in the
    last bin. All 0 where no age is known.
    """
    total = np.zeros(len(_EDGES) - 1)
    ages = [face.age for face in faces if face.age is not None]
    for low, high in ages:
        years = np.minimum(np.arange(int(low), int(high) + 1), _EDGES[-1] - 1)
        total += np.histogram(years, _EDGES)[0] / len(years)
    return total / max(len(ages), 1)


def shares(values: Sequence[int | None], count: int) -> NDArray[np.float64]:
    """The share of each class 0..count-1 among those `values` that are known, (count,)."""
    known = np.array([value for value in values if value is not None], np.int64)
    return np.bincount(known, minlength=count) / max(len(known), 1)


def draw(name: str, faces: Sequence[Face], path: Path) -> None:
    """Draw the distributions of a set into a .png file, which appears when it is complete.

    Raises:
        SinkError: it cannot be written.
        DatasetError: what draws it is not installed.
    """
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise DatasetError(f"{path} needs matplotlib; pip install -r requirements.txt") from error
    mpl.use("agg")
    from matplotlib import pyplot

    splits = {split: [f for f in faces if f.split == split] for split in _order(faces)}
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 10}):
        figure, axes = pyplot.subplots(
            1, 3, figsize=(12.5, 4), width_ratios=(2.1, 0.8, 1.4), layout="constrained"
        )
        figure.suptitle(_title(name, faces), x=0.008, ha="left", color=_INK, size=13)
        _ages(axes[0], splits)
        female = {
            s: [f.female if f.female is None else int(f.female) for f in x]
            for s, x in splits.items()
        }
        _bars(axes[1], "gender", female, GENDERS)
        ethnicity = {s: [f.ethnicity for f in x] for s, x in splits.items()}
        _bars(axes[2], "ethnicity", ethnicity, ETHNICITIES)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False)
        try:
            # Without the version of the program that drew it, so that equal sets give equal files.
            with writing(path) as part:
                figure.savefig(part, dpi=130, metadata={"Software": None})
        finally:
            pyplot.close(figure)


def _order(faces: Sequence[Face]) -> list[str]:
    usual = ["train", "val", "test"]
    there = {face.split for face in faces}
    return [split for split in usual if split in there] + sorted(there - set(usual))


def _title(name: str, faces: Sequence[Face]) -> str:
    people = len({face.person for face in faces if face.person})
    return f"{name}: {len(faces):,} faces" + (f" of {people:,} people" if people else "")


def _ages(axis: Any, splits: dict[str, list[Face]]) -> None:
    known = sum(face.age is not None for faces in splits.values() for face in faces)
    most = max(map(len, splits.values()))
    for (split, faces), colour in zip(splits.items(), _colours(splits), strict=True):
        label = f"{split or 'no split'} ({len(faces):,})"
        values = 100 * age_shares(faces)
        axis.stairs(values, _EDGES, color=colour, lw=2, label=label)
        if len(faces) == most:
            axis.stairs(values, _EDGES, color=colour, alpha=0.12, fill=True)
    axis.set_xlim(0, _EDGES[-1])
    axis.set_ylim(0, None)
    axis.set_xticks(range(0, 101, 10))
    axis.set_xlabel("years", color=_SOFT)
    axis.set_ylabel(f"% of the split, by {BIN_YEARS} years", color=_SOFT)
    _tidy(axis, "age", known)


def _bars(
    axis: Any, title: str, splits: dict[str, list[int | None]], classes: Sequence[str]
) -> None:
    known = sum(value is not None for values in splits.values() for value in values)
    width = 0.8 / len(splits)
    for i, (values, colour) in enumerate(zip(splits.values(), _colours(splits), strict=True)):
        heights = 100 * shares(values, len(classes))
        places = np.arange(len(classes)) - 0.4 + width * (i + 0.5)
        axis.bar(places, heights, width * 0.92, color=colour)
        if known and len(splits) <= 3:
            axis.margins(y=0.1)
            for place, height in zip(places, heights, strict=True):
                axis.text(place, height + 1, f"{height:.0f}", ha="center", size=8, color=_INK)
    axis.set_xticks(range(len(classes)), classes)
    axis.set_ylabel("% of the split", color=_SOFT)
    _tidy(axis, title, known)


def _colours(splits: dict[str, Any]) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(len(splits))]


def _tidy(axis: Any, title: str, known: int) -> None:
    axis.set_title(title, loc="left", color=_INK, size=11)
    if not known:
        axis.text(0.5, 0.5, "not known", transform=axis.transAxes, ha="center", color=_SOFT)
        axis.set_yticks([])
        axis.set_ylabel("")
    axis.tick_params(length=0, colors=_INK)
    axis.grid(axis="y", color="#e9ecef")
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


_PACKAGES = ("numpy", "opencv-python", "openvino", "dlib-bin", "mtcnn", "scipy")


@dataclass(frozen=True, slots=True)
class Record:
    """All that is known of how a set was prepared.

    Attributes:
        name: of the set.
        settings: ready for JSON.
        faces: those kept.
        dropped: reason -> number of faces left out.
        left_out: reason -> pictures of which there is no chip.
        twins: see `splits.Twins`.
    """

    name: str
    settings: dict[str, Any]
    faces: Sequence[Face]
    dropped: Counter[str]
    left_out: dict[str, list[str]]
    twins: Twins

    def summary(self) -> str:
        """One line for people."""
        parts = [f"{self.name}: {len(self.faces)} faces kept ({_listed(self._splits())})"]
        if self.dropped:
            parts.append(f"{self.dropped.total()} left out ({_listed(self.dropped)})")
        if self.twins.groups:
            wrong = {label: len(groups) for label, groups in self.twins.disagreeing.items()}
            told = ", ".join(f"{n} on {label}" for label, n in wrong.items() if n)
            disagree = f", whose labels disagree in {told}" if told else ""
            parts.append(
                f"{self.twins.faces} are near twins in {self.twins.groups} groups{disagree}"
            )
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for `json.dumps`."""
        return {
            "set": self.name,
            "faces": len(self.faces),
            "splits": self._splits(),
            "people": len({face.person for face in self.faces if face.person}),
            "labels": _labels(self.faces),
            "dropped": dict(self.dropped),
            "pictures_left_out": self.left_out,
            "twins": asdict(self.twins),
            "settings": self.settings,
            "versions": versions(),
        }

    def _splits(self) -> Counter[str]:
        return Counter(face.split for face in self.faces)


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON; the file appears when it is complete.

    Raises:
        SinkError: it cannot be written.
    """
    with writing(path) as part:
        part.write_text(json.dumps(record.as_json(), indent=1) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of what makes the chips, and this program's git commit where there is one."""
    found = {"python": platform.python_version()} | packages(_PACKAGES)
    commit = git("rev-parse", "HEAD")
    return found | {"commit": commit} if commit else found


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{what} {n}" for what, n in counts.items())


def _labels(faces: Iterable[Face]) -> dict[str, dict[str, int]]:
    """How many faces have each label; ages by decade, ranges by their middle."""
    decades: Counter[str] = Counter()
    genders: Counter[str] = Counter()
    ethnicities: Counter[str] = Counter()
    for face in faces:
        decades[_decade(face.age)] += 1
        genders["unknown" if face.female is None else GENDERS[face.female]] += 1
        ethnicities["unknown" if face.ethnicity is None else ETHNICITIES[face.ethnicity]] += 1
    counted = {"age": decades, "gender": genders, "ethnicity": ethnicities}
    return {label: dict(sorted(counts.items())) for label, counts in counted.items()}


def _decade(age: tuple[float, float] | None) -> str:
    if age is None:
        return "unknown"
    first = int(sum(age) / 2) // 10 * 10
    return f"{first:03d}-{first + 9:03d}"
