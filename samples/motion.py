"""Where the people in the sample are at every moment, and the truth that follows.

The people move behind a counter, filmed by a fixed camera a little below their eyes: the
nearer a person stands, the larger and the higher the face. All of this is computed from the
table `VISITS` and from `people.json`; no image is opened.
"""

import json
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

HERE = Path(__file__).resolve().parent
SIZE_WH = (960, 540)
FPS = 25
FRAMES = 450

HORIZON_Y = 365.0  # where a face infinitely far away would stand
RISE = 0.62  # how many pixels a face stands higher for each pixel of its height
STEPS_PER_S, BOB = 1.9, 0.012  # walking: steps per second, bob as a fraction of the face
STROLL = 150.0  # pixels per second from which on the bob is full

# Every visit of every person: (time s, x of the face's centre, face height, roll degrees).
Visit = tuple[tuple[float, float, float, float], ...]
VISITS: dict[int, tuple[Visit, ...]] = {
    1: (
        ((0.7, -150, 110, 0), (1.7, 110, 120, 4), (2.7, 320, 138, -4), (3.7, 410, 172, 2),
         (4.8, 430, 214, -3), (5.7, 425, 208, 3), (6.4, 480, 192, 7), (7.3, 680, 172, 3),
         (8.2, 750, 156, -5), (9.4, 745, 150, 2), (10.5, 785, 146, 6), (11.7, 1140, 132, 2)),
        ((12.9, 1130, 115, 0), (13.7, 830, 118, -6), (14.6, 575, 135, -2), (15.6, 440, 176, 3),
         (16.7, 425, 200, -2), (18.0, 400, 192, 3)),
    ),
    2: (
        ((7.7, -230, 162, 0), (8.5, 60, 160, 6), (9.3, 370, 158, 5), (10.2, 490, 166, -2),
         (11.0, 510, 164, -6), (11.9, 330, 160, -7), (12.8, 70, 156, -3), (13.6, -230, 150, 0)),
        ((15.0, 1190, 128, 0), (16.0, 860, 138, -5), (17.0, 710, 150, 2), (18.0, 690, 154, -2)),
    ),
    3: (
        ((2.8, 1090, 61, 0), (4.2, 800, 70, -3), (5.5, 725, 84, 2), (6.3, 690, 90, -4),
         (7.3, 420, 95, -8), (8.3, 325, 106, -2), (9.2, 155, 117, -4), (10.1, 125, 122, 2),
         (11.0, 150, 124, 4), (11.9, 345, 126, 8), (12.8, 640, 136, 5), (13.6, 765, 140, 2),
         (14.6, 1260, 132, 0)),
        ((15.3, -330, 96, 0), (16.3, 110, 102, 5), (17.1, 195, 108, -3), (18.0, 225, 112, 2)),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """One of the people and the portrait, in the portrait's pixels.

    Attributes:
        photographed: first and last day on which the portrait can have been taken.
        face_box: xyxy, what MTCNN finds in the portrait: brow to chin, cheek to cheek.
        landmarks: (5, 2) eyes, nose, mouth corners, from the viewer's left to right.
        outline: (P, 2) the silhouette.
        exposure: factor that makes the portrait as bright as the others.
    """

    id: int
    name: str
    gender: str
    file: str
    born: date
    photographed: tuple[date, date]
    date_basis: str
    face_box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    outline: NDArray[np.float64]
    exposure: float

    @property
    def age_range_years(self) -> tuple[int, int]:
        """Youngest and oldest age, in completed years, at the time of the photograph."""
        first, last = (_completed_years(self.born, day) for day in self.photographed)
        return first, last

    @property
    def age_years(self) -> float:
        """The middle of `age_range_years`."""
        return sum(self.age_range_years) / 2


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """How one person stands in one frame: face centre and height in pixels, roll, visit."""

    person: Person
    visit: int
    x: float
    y: float
    face_height: float
    roll_deg: float

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 3) from the portrait's pixels to the frame's: scale, roll, shift."""
        x1, y1, x2, y2 = self.person.face_box
        centre, scale = ((x1 + x2) / 2, (y1 + y2) / 2), self.face_height / (y2 - y1)
        matrix = np.asarray(cv2.getRotationMatrix2D(centre, self.roll_deg, scale))
        matrix[:, 2] += (self.x - centre[0], self.y - centre[1])
        return matrix

    @property
    def box(self) -> NDArray[np.float64]:
        """(4,) xyxy of the face; its sides stay upright when the head rolls."""
        x1, y1, x2, y2 = self.person.face_box
        half = np.array([(x2 - x1) / (y2 - y1), 1.0]) * self.face_height / 2
        centre = np.array([self.x, self.y])
        return np.concatenate([centre - half, centre + half])

    def place(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Carry (P, 2) points of the portrait into the frame."""
        matrix = self.matrix
        return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def _completed_years(born: date, day: date) -> int:
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


@cache
def people() -> dict[int, Person]:
    """Read `people.json`: id -> person."""
    rows = json.loads((HERE / "people.json").read_text("utf-8"))
    for row in rows:
        row["born"] = date.fromisoformat(row["born"])
        row["photographed"] = tuple(map(date.fromisoformat, row["photographed"]))
        for name in ("face_box", "landmarks", "outline"):
            row[name] = np.array(row[name], np.float64)
    return {row["id"]: Person(**row) for row in rows}


@cache
def _curve(person_id: int, visit: int) -> PchipInterpolator:
    """Smooth curve through the keys of a visit; it never overshoots them."""
    keys = np.array(VISITS[person_id][visit], np.float64)
    return PchipInterpolator(keys[:, 0], keys[:, 1:], extrapolate=False)


def poses(time_s: float) -> list[Pose]:
    """Return the poses at `time_s`, the nearest first; some may be out of view."""
    found = []
    for person in people().values():
        for visit, keys in enumerate(VISITS[person.id]):
            if keys[0][0] <= time_s <= keys[-1][0]:
                curve = _curve(person.id, visit)
                x, height, roll = (float(value) for value in curve(time_s))
                speed = abs(float(curve(time_s, 1)[0]))
                swing = np.sin(2 * np.pi * STEPS_PER_S * time_s + person.id)
                bob = BOB * height * min(1.0, speed / STROLL) * float(swing)
                y = HORIZON_Y - RISE * height + bob
                found.append(Pose(person, visit, x, y, height, roll))
    return sorted(found, key=lambda pose: -pose.face_height)


def visibility(standing: list[Pose]) -> list[float]:
    """Return the fraction of each face box inside the image and not behind a nearer person.

    `standing` are the poses of one frame, nearest first, as `poses` returns them.
    """
    width, height = SIZE_WH
    taken = np.zeros((height, width), np.uint8)
    fractions = []
    for pose in standing:
        x1, y1, x2, y2 = (round(float(side)) for side in pose.box)
        inside = taken[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)]
        fractions.append(float((inside == 0).sum()) / ((x2 - x1) * (y2 - y1)))
        outline = pose.place(pose.person.outline)
        cv2.fillPoly(taken, [np.rint(outline).astype(np.int32)], 1)
    return fractions


def _person_row(pose: Pose, visible: float) -> dict[str, Any]:
    return {
        "id": pose.person.id,
        "appearance": pose.visit + 1,
        "name": pose.person.name,
        "age_years": pose.person.age_years,
        "gender": pose.person.gender,
        "box": pose.box.round(2).tolist(),
        "landmarks": pose.place(pose.person.landmarks).round(1).tolist(),
        "visible": round(visible, 3),
    }


def _frame_row(index: int) -> dict[str, Any]:
    standing = poses(index / FPS)
    seen = zip(standing, visibility(standing), strict=True)
    inside = [pair for pair in seen if pair[0].box[2] > 0 and pair[0].box[0] < SIZE_WH[0]]
    rows = [_person_row(pose, visible) for pose, visible in inside]
    rows.sort(key=lambda row: row["id"])
    return {"index": index, "time_s": round(index / FPS, 3), "people": rows}


def truth() -> dict[str, Any]:
    """Return the truth of the clip, ready for JSON."""
    facts = [
        {
            "id": person.id,
            "name": person.name,
            "gender": person.gender,
            "born": person.born.isoformat(),
            "photographed": [day.isoformat() for day in person.photographed],
            "age_years": person.age_years,
            "age_range_years": list(person.age_range_years),
            "portrait": f"portraits/{person.file}",
        }
        for person in people().values()
    ]
    frames = [_frame_row(index) for index in range(FRAMES)]
    return {"fps": FPS, "size_wh": list(SIZE_WH), "people": facts, "frames": frames}
