"""What is drawn while the program runs, and the configuration file that keeps it."""

import tomllib
from pathlib import Path

import pytest

from people.crowd import Crowd
from program.cameras import Camera
from program.layouts import Draughtsman, added

NEW = "line1=0.1,0.5,0.9,0.5"


def draughtsman(
    tmp_path: Path, text: str | None, *names: str
) -> tuple[Draughtsman, Crowd, list[str]]:
    said: list[str] = []
    path = tmp_path / "faces.toml"
    if text is not None:
        path.write_text(text)
    cameras = [Camera(name, "0", is_named=True) for name in names] or [Camera("camera 0", "0")]
    crowd = Crowd()
    return Draughtsman(crowd, cameras, path if text is not None else None, said.append), crowd, said


def test_two_points_make_a_line_and_more_a_zone_with_free_names(tmp_path: Path) -> None:
    drawer, crowd, said = draughtsman(tmp_path, None)
    drawer.draw("", [(0.1, 0.5), (0.9, 0.5)])
    drawer.draw("", [(0.123456, 0), (1, 0), (1, 1)])
    drawer.draw("", [(0.2, 0), (1, 0), (1, 1)], "hall")
    assert [shape.name for shape in crowd.layout("").shapes] == ["line1", "zone1", "hall"]
    assert said[:2] == [f"drawn: --line {NEW}", "drawn: --zone zone1=0.1235,0,1,0,1,1"]
    drawer.erase("", "zone1")
    assert [shape.name for shape in crowd.layout("").shapes] == ["line1", "hall"]


@pytest.mark.parametrize(
    ("camera", "points", "name"),
    [
        ("yard", [(0.1, 0.5), (0.9, 0.5)], ""),
        ("", [(0.1, 0.5)], ""),
        ("", [(0.1, 0.5), (1.9, 0.5)], ""),
        ("", [(0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9)], ""),
        ("", [(0.1, 0.5), (0.9, 0.5)], "a b"),
    ],
)
def test_what_cannot_be_drawn_changes_nothing(
    tmp_path: Path, camera: str, points: list[tuple[float, float]], name: str
) -> None:
    drawer, crowd, said = draughtsman(tmp_path, "serve = 8080\n")
    with pytest.raises(ValueError):
        drawer.draw(camera, points, name)
    with pytest.raises(ValueError):
        drawer.erase("", "door")
    assert not crowd.layout("").shapes and not said
    assert (tmp_path / "faces.toml").read_text() == "serve = 8080\n"


FILES = {
    "empty": "",
    "no line": "# mine\nserve = 8080  # the page\n",
    "no end of line": "serve = 8080",
    "tables elsewhere": "serve = 8080\n\n# other\n[other]\nx = 1\n",
    "a list": 'line = ["a=0,0,1,1"]  # two\nserve = 8080\n',
    "an empty list": "line = []\n",
    "a list that ends in a comma": 'line = [\n  "a=0,0,1,1",  # the [first]\n]\nserve = 1\n',
    "a list over lines": 'line = [\n  "a=0,0,1,1"  # the first]\n]\n',
    "one text": 'line = "a=0,0,1,1"  # one\nserve = 1\n',
    "one text, no end": "line = 'a=0,0,1,1'",
    "windows": 'serve = 1\r\nline = ["a=0,0,1,1"]\r\n',
    "a look-alike": 'events = """\nline = []\n"""\n',
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_file_gets_the_line_and_keeps_every_character(text: str) -> None:
    found = added(text, "camera 0", "line", NEW, is_alone=True)
    assert found is not None
    before, after = tomllib.loads(text), tomllib.loads(found)
    old = before.pop("line", [])
    assert after.pop("line") == [*([old] if isinstance(old, str) else old), NEW]
    assert after == before
    rest = iter(found)
    assert all(char in rest for char in text)  # nothing but additions, in order


def test_a_camera_keeps_its_own_in_its_table() -> None:
    text = '[cameras.hall]\nsrc = "0"\n\n[cameras.door]  # north\nsrc = "1"\n'
    found = added(text, "door", "zone", "z=0,0,1,0,1,1", is_alone=False)
    assert found is not None and "[cameras.door]  # north\nzone = [" in found
    assert tomllib.loads(found)["cameras"]["door"]["zone"] == ["z=0,0,1,0,1,1"]
    assert "zone" not in tomllib.loads(found)["cameras"]["hall"]


def test_what_a_camera_has_from_the_top_stays_its_own() -> None:
    text = 'line = "a=0,0,1,1"\n[cameras.door]\nsrc = "1"\n'
    found = added(text, "door", "line", NEW, is_alone=False)
    assert found is not None
    assert tomllib.loads(found)["cameras"]["door"]["line"] == ["a=0,0,1,1", NEW]


@pytest.mark.parametrize(
    ("text", "camera", "is_alone"),
    [
        ("src = ['0', '1']\n", "camera 1", False),  # would be drawn on both
        ('[cameras.hall]\nsrc = "0"\n', "door", True),  # a source of the command line
        ('cameras = {door = {src = "0"}}\n', "door", False),
        ('cameras.door.src = "0"\n', "door", False),
    ],
)
def test_a_file_that_would_need_more_is_left_alone(text: str, camera: str, is_alone: bool) -> None:
    assert added(text, camera, "line", NEW, is_alone) is None


def test_the_file_is_written_and_the_user_told(tmp_path: Path) -> None:
    drawer, _crowd, said = draughtsman(tmp_path, '[cameras.door]\nsrc = "0"\n', "door")
    (tmp_path / "faces.toml").chmod(0o640)
    assert drawer.draw("door", [(0.1, 0.5), (0.9, 0.5)]) == f"--line {NEW}"
    assert NEW in (tmp_path / "faces.toml").read_text()
    assert (tmp_path / "faces.toml").stat().st_mode & 0o777 == 0o640
    assert said == [f"drawn on door: --line {NEW}", "faces.toml has it now"]


def test_a_file_that_cannot_be_changed_is_named_with_the_line_to_add(tmp_path: Path) -> None:
    text = 'cameras.door.src = "0"\n'
    drawer, _, said = draughtsman(tmp_path, text, "door")
    drawer.draw("door", [(0.1, 0.5), (0.9, 0.5)])
    assert f'add for the camera door: line = ["{NEW}"]' in said[1]
    assert (tmp_path / "faces.toml").read_text() == text
    (tmp_path / "faces.toml").unlink()
    drawer.draw("door", [(0.1, 0.6), (0.9, 0.6)])
    assert "was left as it is" in said[3]
