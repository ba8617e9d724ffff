"""The record of a prepared set: counts, reasons, settings, versions, and a plot."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import DatasetError
from structures import ETHNICITIES
from training.labels import GENDERS, Face
from training.preparing.groups import Twins
from training.result_files import commit, versions, writing

BIN_YEARS = 5
_EDGES = np.arange(0, 106, BIN_YEARS)
# Distinct for all kinds of colour vision, and in grey (Okabe and Ito, 2008).
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
_INK, _SOFT = "#212529", "#5c636a"
_PACKAGES = ("numpy", "opencv-python", "openvino", "dlib-bin", "mtcnn", "scipy")


@dataclass(frozen=True, slots=True)
class SetRecord:
    """How a set was prepared.

    Attributes:
        name: of the set.
        settings: ready for JSON.
        faces: those kept.
        dropped: reason -> number of faces left out.
        left_out: reason -> images without a chip.
        twins: see `groups.Twins`.
    """

    name: str
    settings: dict[str, Any]
    faces: Sequence[Face]
    dropped: Counter[str]
    left_out: dict[str, list[str]]
    twins: Twins

    def summary(self) -> str:
        """Return one line for people."""
        parts = [f"{self.name}: {len(self.faces)} faces kept ({_listed(self._splits())})"]
        if self.dropped:
            parts.append(f"{self.dropped.total()} left out ({_listed(self.dropped)})")
        if self.twins.groups:
            wrong = {label: len(groups) for label, groups in self.twins.disagreeing.items()}
            named = ", ".join(f"{n} on {label}" for label, n in wrong.items() if n)
            disagree = f", whose labels disagree in {named}" if named else ""
            parts.append(
                f"{self.twins.faces} are near twins in {self.twins.groups} groups{disagree}"
            )
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return everything, ready for `json.dumps`."""
        return {
            "set": self.name,
            "faces": len(self.faces),
            "splits": self._splits(),
            "people": _people(self.faces),
            "labels": _labels(self.faces),
            "dropped": dict(self.dropped),
            "pictures_left_out": self.left_out,
            "twins": asdict(self.twins),
            "settings": self.settings,
            "versions": versions(_PACKAGES) | commit(),
        }

    def _splits(self) -> Counter[str]:
        return Counter(face.split for face in self.faces)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{what} {n}" for what, n in counts.items())


def _people(faces: Sequence[Face]) -> int:
    return len({face.person for face in faces if face.person})


def _labels(faces: Sequence[Face]) -> dict[str, dict[str, int]]:
    """Count the faces with each label; ages by decade, ranges by their middle."""
    values = {
        "age": [_decade(face.age) for face in faces],
        "gender": ["unknown" if f.female is None else GENDERS[f.female] for f in faces],
        "ethnicity": [
            "unknown" if f.ethnicity is None else ETHNICITIES[f.ethnicity] for f in faces
        ],
    }
    return {label: dict(sorted(Counter(texts).items())) for label, texts in values.items()}


def _decade(age: tuple[float, float] | None) -> str:
    if age is None:
        return "unknown"
    first = int(sum(age) / 2) // 10 * 10
    return f"{first:03d}-{first + 9:03d}"


def age_shares(faces: Sequence[Face]) -> NDArray[np.float64]:
    """Return the share of the faces' ages in each bin of five years, (21,), summing to 1.

    A range is spread evenly over its years, first and last included; 100 and more lie in the
    last bin. All 0 if no age is known.
    """
    total = np.zeros(len(_EDGES) - 1)
    ages = [face.age for face in faces if face.age is not None]
    for low, high in ages:
        years = np.minimum(np.arange(int(low), int(high) + 1), _EDGES[-1] - 1)
        total += np.histogram(years, _EDGES)[0] / len(years)
    return total / max(len(ages), 1)


def shares(values: Sequence[int | None], count: int) -> NDArray[np.float64]:
    """Return the share of each class 0..count-1 among the known `values`, (count,)."""
    known = np.array([value for value in values if value is not None], np.int64)
    return np.bincount(known, minlength=count) / max(len(known), 1)


def draw(name: str, faces: Sequence[Face], path: Path) -> None:
    """Draw the distributions of a set into a .png file, written whole or not at all.

    Raises:
        SinkError: it cannot be written.
        DatasetError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise DatasetError(f"{path} needs matplotlib; pip install '.[train]'") from error
    mpl.use("agg")
    from matplotlib import pyplot

    splits = {split: [f for f in faces if f.split == split] for split in _order(faces)}
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 10}):
        figure, axes = pyplot.subplots(
            1, 3, figsize=(12.5, 4), width_ratios=(2.1, 0.8, 1.4), layout="constrained"
        )
        figure.suptitle(_title(name, faces), x=0.008, ha="left", color=_INK, size=13)
        _ages(axes[0], splits)
        _bars(axes[1], "gender", [[f.female for f in x] for x in splits.values()], GENDERS)
        races = [[f.ethnicity for f in x] for x in splits.values()]
        _bars(axes[2], "ethnicity", races, ETHNICITIES)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False)
        try:
            # Without matplotlib's version, so that equal sets yield equal files.
            with writing(path) as beside:
                figure.savefig(beside, dpi=130, metadata={"Software": None})
        finally:
            pyplot.close(figure)


def _order(faces: Sequence[Face]) -> list[str]:
    usual = ["train", "val", "test"]
    found = {face.split for face in faces}
    return [split for split in usual if split in found] + sorted(found - set(usual))


def _title(name: str, faces: Sequence[Face]) -> str:
    people = _people(faces)
    return f"{name}: {len(faces):,} faces" + (f" of {people:,} people" if people else "")


def _ages(axis: Any, splits: dict[str, list[Face]]) -> None:
    known = sum(face.age is not None for faces in splits.values() for face in faces)
    most = max(map(len, splits.values()))
    for i, (split, faces) in enumerate(splits.items()):
        colour = _COLOURS[i % len(_COLOURS)]
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
    axis: Any, title: str, splits: Sequence[Sequence[int | None]], classes: Sequence[str]
) -> None:
    known = sum(value is not None for values in splits for value in values)
    width = 0.8 / len(splits)
    for i, values in enumerate(splits):
        heights = 100 * shares(values, len(classes))
        places = np.arange(len(classes)) - 0.4 + width * (i + 0.5)
        axis.bar(places, heights, width * 0.92, color=_COLOURS[i % len(_COLOURS)])
        if known and len(splits) <= 3:
            axis.margins(y=0.1)
            for place, height in zip(places, heights, strict=True):
                axis.text(place, height + 1, f"{height:.0f}", ha="center", size=8, color=_INK)
    axis.set_xticks(range(len(classes)), classes)
    axis.set_ylabel("% of the split", color=_SOFT)
    _tidy(axis, title, known)


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
