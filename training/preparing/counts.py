"""What is written about a prepared set: counts, reasons, settings, versions."""

import json
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from structures import ETHNICITIES
from training.files import writing
from training.labels import GENDERS, Face
from training.preparing.splits import Twins
from training.versions import git, packages

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
