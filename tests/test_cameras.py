"""Cameras have names of their own: given ones, or their host's or file's; never a path."""

from pathlib import Path

import pytest

from errors import SourceError
from program.cameras import (
    USUAL_SOURCE,
    Camera,
    default_name,
    find_cameras,
    split_name,
)
from program.options import USUAL_TRACKING
from sources.open import camera_index


def cameras(*texts: str) -> list[Camera]:
    return find_cameras([(text, USUAL_SOURCE, USUAL_TRACKING) for text in texts])


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("door=rtsp://door/stream", "door", "rtsp://door/stream"),
        ("door=0", "door", "0"),
        ("front-door_2=film.mp4", "front-door_2", "film.mp4"),
        ("Tür=0", "Tür", "0"),
        ("a=b=c", "a", "b=c"),
        ("door=", "door", ""),
        ("=0", "", "=0"),
        ("front door=0", "", "front door=0"),
        ("rtsp://host/s?channel=1", "", "rtsp://host/s?channel=1"),
        ("films/take=2.mp4", "", "films/take=2.mp4"),
        ("chaos:film.mp4?freeze=5@10", "", "chaos:film.mp4?freeze=5@10"),
        ("test:64x48,duration=1", "", "test:64x48,duration=1"),
        ("film.mp4", "", "film.mp4"),
    ],
)
def test_a_name_stands_before_the_first_equals_sign(text: str, name: str, address: str) -> None:
    assert split_name(text) == (name, address)


def test_a_file_that_is_there_needs_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("take=2.mp4").touch()
    assert split_name("take=2.mp4") == ("", "take=2.mp4")
    assert cameras("take=2.mp4")[0].name == "take=2"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("0", "camera 0"),
        ("/dev/video2", "camera 2"),
        ("sample", "sample"),
        ("films/front door.mp4", "front door"),
        ("../films/a.b.mkv", "a.b"),
        ("/tmp/films/", "films"),
        ("rtsp://192.168.1.5:554/stream", "192.168.1.5"),
        ("rtsp://joe:s3cret@Door.local/stream?token=s3cret", "door.local"),
        ("rtsp://joe:p@ss:w/rd@door/stream", "door"),
        ("http://[::1]:8000/film.mp4", "::1"),
        ("udp://@:1234", "udp"),
        ("rtsp://[bad/x", "stream"),
        ("chaos:films/bad.mp4?drop=0.1", "bad"),
        ("joe:s3cret@door", "***@door"),
        ("new\nline.mp4", "new?line"),
    ],
)
def test_a_camera_without_a_name_is_called_after_its_host_or_file(address: str, name: str) -> None:
    assert default_name(address) == name


def test_a_folder_is_called_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "2024.05").mkdir()
    assert default_name(str(tmp_path / "2024.05")) == "2024.05"
    monkeypatch.chdir(tmp_path / "2024.05")
    assert default_name(".") == "2024.05"


def test_cameras_of_one_host_are_numbered_and_given_names_stay() -> None:
    found = cameras("rtsp://nvr/1", "rtsp://nvr/2", "door=rtsp://nvr/3", "films/door.mp4")
    assert [camera.name for camera in found] == ["nvr", "nvr (2)", "door", "door (2)"]
    assert [camera.is_named for camera in found] == [False, False, True, False]


def test_no_two_cameras_have_one_name_whatever_their_files_are_called() -> None:
    texts = ("a/clip.mp4", "b/clip.mp4", "c/clip (2).mp4", "clip=d/x.mp4", "e/clip (2).mp4")
    names = [camera.name for camera in cameras(*texts)]
    assert names == ["clip (2)", "clip (3)", "clip (2) (2)", "clip", "clip (2) (3)"]


@pytest.mark.parametrize(
    ("text", "index"),
    [("0", 0), (" 12 ", 12), ("/dev/video3", 3), ("2024", None), ("1.mp4", None), ("", None)],
)
def test_webcams_are_known_by_their_text(text: str, index: int | None) -> None:
    assert camera_index(text) == index


def test_two_cameras_of_one_name_are_refused() -> None:
    with pytest.raises(SourceError, match="2 cameras are called door"):
        cameras("door=0", "hall=1", "door=rtsp://joe:s3cret@door/")


@pytest.mark.parametrize("held", ["rtsp://joe:s3cret@h/1", "hall=rtsp://joe:s3cret@h/1"])
def test_a_named_address_may_come_from_the_environment(
    held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOOR", held)
    (found,) = cameras("door=env:DOOR")
    assert (found.name, found.address) == ("door", "rtsp://joe:s3cret@h/1")
