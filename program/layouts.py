"""Lines and zones that are drawn while the program runs, and keeping them in its file of flags."""

import copy
import json
import re
import threading
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from files import replacing
from people.crowd import Crowd
from people.zones import Line, Point, Shape, Zone, as_text
from program.cameras import Camera, names_of


class Draughtsman:
    """Puts lines and zones into a running program and takes them out; any thread may call it.

    What was drawn is told as the flag to give the next time, and written into the configuration
    file, if there is one that can be changed without losing anything in it.

    Args:
        crowd: counts at what is drawn.
        cameras: of the run.
        config: the configuration file; None = there is none.
        tell: is called with what to tell the user.
    """

    def __init__(
        self,
        crowd: Crowd,
        cameras: Sequence[Camera],
        config: Path | None,
        tell: Callable[[str], None],
    ) -> None:
        self._crowd, self._tell = crowd, tell
        self._config = None if config is None else config.expanduser().resolve()
        self._tables = dict(zip(names_of(cameras), [each.name for each in cameras], strict=True))
        self._lock = threading.Lock()

    def draw(self, camera: str, points: Sequence[Point], name: str = "") -> str:
        """Draw a line through two points, or a zone with more corners; fractions of the picture.

        Args:
            camera: as results name it.
            points: two make a line.
            name: empty = the first free one, such as line1.

        Returns:
            The flag that draws the same.

        Raises:
            ValueError: there is no such camera, or what was drawn is not possible.
        """
        with self._lock:
            if camera not in self._tables:
                raise ValueError(f"there is no camera {camera!r}")
            layout = self._crowd.layout(camera)
            kind = "line" if len(points) < 3 else "zone"
            exact = tuple((round(float(x), 4), round(float(y), 4)) for x, y in points)
            name = name or layout.free_name(kind)
            shape = Line(name, exact) if kind == "line" else Zone(name, exact)
            self._crowd.lay_out(camera, layout.plus(shape))
            self._keep(camera, kind, shape)
        return f"--{kind} {as_text(shape)}"

    def erase(self, camera: str, name: str) -> None:
        """Take a line or zone out; raises ValueError where there is none of that name."""
        with self._lock:
            layout = self._crowd.layout(camera)
            if name not in {shape.name for shape in layout.shapes}:
                raise ValueError(f"there is no line or zone {name!r}")
            self._crowd.lay_out(camera, layout.without(name))
        self._tell(f"{name} is taken out for this run; flags and files that name it keep it")

    def _keep(self, camera: str, kind: str, shape: Shape) -> None:
        self._tell(f"drawn{f' on {camera}' if camera else ''}: --{kind} {as_text(shape)}")
        if self._config is None:
            return
        table = self._tables[camera]
        try:
            before = self._config.read_bytes().decode()
            text = added(before, table, kind, as_text(shape), len(self._tables) == 1)
            if text is not None:
                with replacing(self._config) as beside:
                    beside.write_bytes(text.encode())
        except (OSError, ValueError):
            text = None
        if text is not None:
            self._tell(f"{self._config.name} has it now")
            return
        where = "" if len(self._tables) == 1 and not camera else f" for the camera {table}"
        self._tell(
            f"{self._config.name} was left as it is; to keep it, add{where}: "
            f"{kind} = [{json.dumps(as_text(shape), ensure_ascii=False)}]"
        )


def added(text: str, camera: str, key: str, value: str, is_alone: bool) -> str | None:
    """Return a configuration file's text with one more value in a list, all else as it was.

    Args:
        text: of the file.
        camera: whose table it goes into; what has none goes to the top if `is_alone`.
        key: line or zone.
        value: to be added.
        is_alone: whether the run has no other camera.

    Returns:
        The text, None where it takes more than to put something in. It was read again: the file
        says what it said, and the value.

    Raises:
        ValueError: the text is no TOML.
    """
    before = tomllib.loads(text)
    cameras = before.get("cameras", {})
    in_table = camera in cameras
    if not in_table and (cameras or not is_alone):
        return None
    after = copy.deepcopy(before)
    own = after["cameras"][camera] if in_table else after
    there = key in own
    values = own.get(key, after.get(key, []))
    own[key] = [*([values] if isinstance(values, str) else values), value]
    ways = _longer(text, key, value) if there else _inserted(text, camera, key, own[key], in_table)
    return next((way for way in ways if _says(way, after)), None)


def _says(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False


def _longer(text: str, key: str, value: str) -> Iterator[str]:
    """Try to put a value behind those that the key has."""
    new = json.dumps(value, ensure_ascii=False)
    for found in re.finditer(rf"^\s*{key}\s*=\s*", text, re.MULTILINE):
        start = found.end()
        if text[start : start + 1] != "[":
            (old, rest) = re.split(r"(?<=.)(?=\s*(?:#.*)?$)", text[start:], maxsplit=1, flags=re.M)
            yield f"{text[:start]}[{old}, {new}]{rest}"
        for end in (start + each.start() for each in re.finditer(r"\]", text[start:])):
            behind = len(text[:end].rstrip())  # a comment may stand between the two
            for place, comma in ((behind, ", "), (behind, " "), (end, ", "), (end, "")):
                yield f"{text[:place]}{comma}{new}{text[place:]}"


def _inserted(
    text: str, camera: str, key: str, values: Sequence[str], in_table: bool
) -> Iterator[str]:
    """Try to put a new line at the beginning of a table, or above the first one."""
    end = "\r\n" if "\r\n" in text else "\n"
    line = f"{key} = [{', '.join(json.dumps(each, ensure_ascii=False) for each in values)}]{end}"
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += end
    if in_table:
        heads = [i + 1 for i, each in enumerate(lines) if "[" in each and camera in each]
    else:
        first = next((i for i, each in enumerate(lines) if each.lstrip()[:1] == "["), len(lines))
        while first and lines[first - 1].lstrip()[:1] in ("", "#") and first < len(lines):
            first -= 1
        heads = [first]
    for place in heads:
        yield "".join([*lines[:place], line, *lines[place:]])
