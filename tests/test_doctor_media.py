import socket
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never

import pytest

from doctor import media
from doctor.report import Level
from errors import SourceError
from sources.decoding import Video, open_video
from tests.clips import endless, numbered, write_clip
from tests.fakes import ScriptedCamera
from tests.findings import SAMPLE, only, options, write_files

Folders = tuple[Path, Path]


def test_a_missing_display_is_a_warning_and_none_is_needed_without_a_window() -> None:
    found = only(media.display(True, lambda: "there is no display: use --no-window"))
    assert (found.level, found.remedy) == ("warning", "use --no-window")
    assert only(media.display(True, lambda: None)).level == "ok"
    assert only(media.display(False, pytest.fail)).level == "ok"


def test_codecs_are_tried() -> None:
    assert [(f.item, f.level) for f in media.codecs(SAMPLE)] == [
        ("decoding", "ok"),
        ("recording", "ok"),
    ]


def test_a_damaged_sample_is_told(tmp_path: Path) -> None:
    damaged = tmp_path / "sample.mp4"
    damaged.write_text("text " * 100)
    assert only(media.codecs(damaged)).level == "problem"


@pytest.fixture
def two_cameras(tmp_path: Path) -> Folders:
    """The paths of a camera of two nodes, the second of which gives no pictures, and another."""
    nodes = {"video0": "0", "video1": "1", "video2": "0"}
    for name, index in nodes.items():
        write_files(tmp_path, {f"dev/{name}": "", f"sys/{name}/name": "HD Cam\n"})
        write_files(tmp_path, {f"sys/{name}/index": f"{index}\n"})
    write_files(tmp_path, {"dev/videos": ""})
    return tmp_path / "dev", tmp_path / "sys"


def test_each_camera_is_tried_and_only_the_one_asked_for_must_work(two_cameras: Folders) -> None:
    asked: list[int] = []

    def open_camera(index: int) -> ScriptedCamera:
        asked.append(index)
        works = index == 0
        return ScriptedCamera(endless(numbered(3, (80, 60))) if works else [], opens=works)

    found = list(media.cameras({0}, open_camera, *two_cameras))
    assert asked == [0, 2]
    assert [f.level for f in found] == ["ok", "warning"]
    assert found[0].text.startswith("0 (HD Cam): 80x60 at 30 fps")
    assert [f.level for f in media.cameras({2}, open_camera, *two_cameras)] == ["ok", "problem"]
    assert [f.level for f in media.cameras(set(), open_camera, *two_cameras)] == ["ok", "warning"]


def test_a_camera_that_gives_no_picture_is_told(
    two_cameras: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sources.webcam.OPEN_S", 0.05)
    found = list(media.cameras({0}, lambda index: ScriptedCamera([]), *two_cameras))
    assert found[0].level == "problem" and "camera 0" in found[0].text


def test_a_missing_camera_is_reported_with_those_that_exist(two_cameras: Folders) -> None:
    def open_camera(index: int) -> ScriptedCamera:
        return ScriptedCamera(endless(numbered(3)))

    found = only(media.cameras({7}, open_camera, *two_cameras), Level.PROBLEM)
    assert "0, 1, 2" in found.remedy


def no_camera(index: int) -> Never:
    pytest.fail(f"camera {index} was opened")


@pytest.mark.parametrize(("asked", "level"), [(set(), "ok"), ({0}, "warning"), ({3}, "problem")])
def test_no_camera_at_all_matters_as_far_as_one_was_asked_for(
    asked: set[int], level: str, tmp_path: Path
) -> None:
    assert only(media.cameras(asked, no_camera, tmp_path, tmp_path)).level == level


def test_a_file_is_tried() -> None:
    assert "960x540" in only(media.media_file(str(SAMPLE))).text
    missing = only(media.media_file("nowhere.mp4"))
    assert (missing.level, missing.remedy) == ("problem", "check the path")


def test_outputs_are_tried_where_they_would_go(tmp_path: Path) -> None:
    asked = options(output=str(tmp_path / "a.mp4"), people=str(tmp_path / "no/b.csv"), events="-")
    found = list(media.outputs(asked, ["0"]))
    assert [f.level for f in found] == ["ok", "problem"]
    assert list(tmp_path.iterdir()) == []


def test_an_output_whose_name_a_run_would_refuse_is_a_problem(tmp_path: Path) -> None:
    names = ("output", "events_full", "people", "hours", "report")
    asked = options(**{name: str(tmp_path / f"{name}.txt") for name in names})
    found = list(media.outputs(asked, ["0"]))
    assert [f.level for f in found] == ["problem"] * 5
    assert all("must end in" in f.text for f in found)
    assert "--events-full" in found[1].remedy


def test_an_output_that_somebody_else_made_is_a_problem_for_films_only(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text("mine\n")
    asked = options(people=str(path))
    for source, level in ((str(SAMPLE), "problem"), ("0", "ok"), (f"chaos:{SAMPLE}", "ok")):
        assert only(media.outputs(asked, [source])).level == level
    path.write_text("id,first_seen_s,last_seen_s,frames\n")
    assert only(media.outputs(asked, [str(SAMPLE)])).level == "ok"


@pytest.fixture
def listener() -> Iterator[int]:
    """A port of this machine at which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class Endless(Video):
    """A file in the part of a camera's stream."""

    has_end = False


@pytest.fixture
def camera(tmp_path: Path) -> media.OpenVideo:
    """Opens a stream with a key frame in every fifth picture."""
    clip = write_clip(tmp_path / "clip.ts", numbered(20), settings={"g": "5", "bf": "0"})

    def open_it(address: str, name: str, **_: Any) -> Video:
        video = open_video(str(clip), name)
        return Endless(video.container, video.stream, name)

    return open_it


def test_a_camera_that_works_is_reported_step_by_step(
    listener: int, camera: media.OpenVideo
) -> None:
    found = list(media.address(f"rtsp://joe:p@ss@127.0.0.1:{listener}/live", camera))
    assert [f.item for f in found] == ["host", "port", "stream", "picture", "key frames"]
    assert {f.level for f in found} == {"ok"}
    assert "user and password are accepted" in found[2].text and "25 fps" in found[2].text
    assert found[3].text.startswith("64x48") and found[4].text == "every 0.2 s"
    assert not any("p@ss" in f.text or "joe" in f.text for f in found)


def test_rare_key_frames_are_a_warning() -> None:
    assert media._key_frames([1.0]).level == "warning"
    assert media._key_frames([1.0, 11.0]).level == "warning"
    assert media._key_frames([1.0, 3.0]).text == "every 2.0 s"


@pytest.mark.parametrize("why", ["refuses the user name or password", "nothing at this path"])
def test_what_the_server_refuses_is_told(why: str, listener: int) -> None:
    def open_it(address: str, name: str, **_: Any) -> Never:
        raise SourceError(f"{name} {why}; check it")

    found = list(media.address(f"rtsp://joe:s3cret@127.0.0.1:{listener}/live", open_it))
    assert [f.item for f in found] == ["host", "port", "stream"]
    assert why in found[-1].text and found[-1].remedy == "check it"
    assert "s3cret" not in found[-1].text


def test_a_stream_without_pictures_is_told(listener: int, camera: media.OpenVideo) -> None:
    def at_its_end(*arguments: str, **_: Any) -> Video:
        video = camera(*arguments)
        deque(video.container.demux(video.stream), maxlen=0)
        return video

    found = list(media.address(f"rtsp://127.0.0.1:{listener}/live", at_its_end))
    assert (found[-1].item, found[-1].level) == ("picture", "problem")


def test_where_nothing_listens_no_stream_is_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = list(media.address(f"rtsp://127.0.0.1:{port}/live", pytest.fail))
    assert [f.item for f in found] == ["host", "port"]
    assert "nothing listens" in found[-1].text and found[-1].level == "problem"


def test_an_unknown_host_is_told() -> None:
    found = only(media.address("rtsp://joe:s3cret@no-such-host.invalid/live", pytest.fail))
    assert found.item == "host" and found.level == "problem"


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://",
        "rtsp://joe:s3cret@host:99999/x",
        "rtsp://:554/a",
        "http://joe:s3cret@[::1/x",
    ],
)
def test_an_address_without_host_or_with_a_bad_port_is_told(text: str) -> None:
    found = only(media.address(text, pytest.fail))
    assert found.level == "problem" and "s3cret" not in found.text


@pytest.mark.parametrize(
    "address", ["udp://127.0.0.1:9/live", "udp://@:23456", "rtp://127.0.0.1:9", "srt://h:9"]
)
def test_an_address_without_a_port_of_tcp_goes_straight_to_the_stream(
    address: str,
    camera: media.OpenVideo,
) -> None:
    found = list(media.address(address, camera))
    assert found[0].item == "stream"
