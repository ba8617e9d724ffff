"""Lines and zones in the picture of a camera: what they are, and where a point lies to them.

Points are (x, y) in fractions of the picture: x right, y down, 0.5,0.5 is its middle. They are
compared in pixels, as fractions of width and height differ.
"""

import math
import re
from dataclasses import dataclass

import numpy as np

Point = tuple[float, float]
WHAT_IS_IN = (
    "in is to the right of the line as seen from its first point: downwards where it is drawn from "
    "left to right"
)
MOST = 50  # lines and zones of one camera
_SHORTEST, _SMALLEST = 0.01, 1e-4  # a line's length and a zone's area, of the picture


@dataclass(frozen=True, slots=True)
class Line:
    """A line from the first of two points to the second; who crosses it is counted.

    "In" is to the right of the line as one looks from its first point to the second: downwards
    where it is drawn from left to right.

    Raises:
        ValueError: a bad name, not two points, outside the picture, or too short.
    """

    name: str
    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        _check(self.name, self.points)
        if len(self.points) != 2:
            more = "; more make a zone" * (len(self.points) > 2)
            raise ValueError(f"{self.name}: a line has two points, got {len(self.points)}{more}")
        if np.hypot(*np.subtract(*self.points)) < _SHORTEST:
            raise ValueError(f"{self.name}: the line ends where it begins; draw it longer")

    def distance(self, point: Point, size_wh: tuple[int, int]) -> float:
        """How far a point is from the line or what continues it, pixels; above 0 on side "in"."""
        vx, vy, px, py = self._seen(point, size_wh)
        return (vx * py - vy * px) / math.hypot(vx, vy)

    def lies_between(self, before: Point, after: Point, size_wh: tuple[int, int]) -> bool:
        """Whether the straight way between two points on both its sides passes between its ends."""
        near, far = self.distance(before, size_wh), self.distance(after, size_wh)
        share = near / (near - far)
        at = before[0] + share * (after[0] - before[0]), before[1] + share * (after[1] - before[1])
        vx, vy, px, py = self._seen(at, size_wh)
        return 0 <= vx * px + vy * py <= vx * vx + vy * vy

    def _seen(self, point: Point, size_wh: tuple[int, int]) -> tuple[float, float, float, float]:
        """The line's end and the point, both as seen from its beginning: x, y, x, y in pixels."""
        (x1, y1), (x2, y2) = self.points
        width, height = size_wh
        return (x2 - x1) * width, (y2 - y1) * height, point[0] - x1 * width, point[1] - y1 * height


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon whose corners are the points, in the order in which one walks around it.

    Raises:
        ValueError: a bad name, below three points, outside the picture, flat, or its sides cross.
    """

    name: str
    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        _check(self.name, self.points)
        if len(self.points) < 3:
            two = "; two make a line" * (len(self.points) == 2)
            raise ValueError(
                f"{self.name}: a zone has three points or more, got {len(self.points)}{two}"
            )
        x, y = np.transpose(self.points)
        if _sides_cross(self.points):
            raise ValueError(
                f"{self.name}: its sides cross each other; name the corners in the order in which "
                "one walks around it"
            )
        if abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2 < _SMALLEST:
            raise ValueError(f"{self.name}: the zone is flat; draw it wider")

    def holds(self, point: Point, size_wh: tuple[int, int]) -> bool:
        """Whether a point, pixels, lies inside: a ray from it meets an odd number of sides."""
        x, y = point[0] / size_wh[0], point[1] / size_wh[1]
        inside = False
        for (x1, y1), (x2, y2) in zip(self.points, (*self.points[1:], self.points[0]), strict=True):
            if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
                inside = not inside
        return inside


Shape = Line | Zone


@dataclass(frozen=True, slots=True)
class Layout:
    """The lines and zones of one camera, in the order in which they were drawn.

    Raises:
        ValueError: two have the same name, or there are more than `MOST`.
    """

    shapes: tuple[Shape, ...] = ()

    def __post_init__(self) -> None:
        names = [shape.name for shape in self.shapes]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"two lines or zones are called {name}; give each a name of its own"
                )
        if len(names) > MOST:
            raise ValueError(f"want at most {MOST} lines and zones, got {len(names)}")

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines only."""
        return tuple(shape for shape in self.shapes if isinstance(shape, Line))

    @property
    def zones(self) -> tuple[Zone, ...]:
        """The zones only."""
        return tuple(shape for shape in self.shapes if isinstance(shape, Zone))

    def free_name(self, kind: str) -> str:
        """A name that is not taken yet: line1, line2 ..."""
        taken = {shape.name for shape in self.shapes}
        return next(name for i in range(1, MOST + 2) if (name := f"{kind}{i}") not in taken)

    def plus(self, shape: Shape) -> "Layout":
        """This layout with one more shape."""
        return Layout((*self.shapes, shape))

    def without(self, name: str) -> "Layout":
        """This layout without the shape of that name."""
        return Layout(tuple(shape for shape in self.shapes if shape.name != name))


NOTHING = Layout()


def parse_line(text: str) -> Line:
    """Read NAME=x1,y1,x2,y2; raises ValueError with what is wrong."""
    return Line(*_parsed(text, "NAME=x1,y1,x2,y2"))


def parse_zone(text: str) -> Zone:
    """Read NAME=x1,y1,x2,y2,x3,y3 and so on; raises ValueError with what is wrong."""
    return Zone(*_parsed(text, "NAME=x1,y1,x2,y2,x3,y3,..."))


def as_text(shape: Shape) -> str:
    """What `parse_line` or `parse_zone` reads."""
    numbers = (f"{number:.4f}".rstrip("0").rstrip(".") for xy in shape.points for number in xy)
    return f"{shape.name}={','.join(numbers)}"


def _parsed(text: str, form: str) -> tuple[str, tuple[Point, ...]]:
    name, _, rest = text.partition("=")
    try:
        numbers = [float(number) for number in rest.split(",")]
    except ValueError:
        numbers = []
    if not numbers or len(numbers) % 2:
        raise ValueError(f"want {form}, in fractions of the picture, got {text!r}")
    return name, tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _check(name: str, points: tuple[Point, ...]) -> None:
    if not re.fullmatch(r"[\w-]{1,40}", name):
        raise ValueError(f"a name has up to 40 letters, digits, - and _, got {name!r}")
    for number in (number for xy in points for number in xy):
        if not 0 <= number <= 1:
            raise ValueError(
                f"{name}: {number:g} is outside the picture; x and y are fractions of its width "
                "and height, from 0 to 1"
            )
    if len(points) > 100:
        raise ValueError(f"{name}: want at most 100 points, got {len(points)}")


def _sides_cross(corners: tuple[Point, ...]) -> bool:
    """Whether any two sides of a polygon meet other than where one follows the other."""
    count = len(corners)
    sides = [(corners[i], corners[(i + 1) % count]) for i in range(count)]
    for i in range(count):
        for j in range(i + 1, count):
            apart = j - i not in (1, count - 1)
            if apart and _meet(*sides[i], *sides[j]):
                return True
    return len(set(corners)) < count


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the way from a to b meets that from c to d, or touches it."""
    turns = [np.sign(_turn(*three)) for three in ((a, b, c), (a, b, d), (c, d, a), (c, d, b))]
    if turns[0] != turns[1] and turns[2] != turns[3]:
        return True
    if any(turns):
        return False
    spans = (sorted((a[i], b[i])) + sorted((c[i], d[i])) for i in (0, 1))
    return all(max(low, low2) <= min(high, high2) for low, high, low2, high2 in spans)


def _turn(a: Point, b: Point, c: Point) -> float:
    """Above 0 where the way from a over b to c turns right, as y goes down; 0 = straight on."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
