"""Pictures and folders of them: films, albums, and pictures that cannot be read."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from errors import SourceError
from files import stderr_is_apart
from sources.headers import picture_size
from sources.photographs import LARGEST_SIDE, list_pictures, load_picture
from tests.clips import Open, level, number_of, opening, problem_of
from tests.fakes import grey
from tests.recordings import run_child

opened = pytest.fixture(opening)


def write_pictures(folder: Path, names: Sequence[str], size_wh: tuple[int, int] = (64, 48)) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), grey(level(number), size_wh))
    return folder


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "JPG"])
def test_a_picture_is_one_frame(tmp_path: Path, opened: Open, suffix: str) -> None:
    folder = write_pictures(tmp_path / "p", [f"ü 1.{suffix}"])
    source = opened(folder / f"ü 1.{suffix}")
    (frame,) = source
    assert number_of(frame.image) == 0
    assert (source.frame_count, source.is_live, source.size_wh) == (1, False, (64, 48))


def test_a_picture_is_turned_upright_by_its_exif_tag(tmp_path: Path, opened: Open) -> None:
    picture = grey(40, (64, 48))
    picture[:16, :24] = 200
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    quarter_turn = bytes.fromhex("4d4d002a00000008 0001 0112 0003 00000001 00060000 00000000")
    exif = b"Exif\0\0" + quarter_turn
    tagged = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    path = tmp_path / "phone.jpg"
    path.write_bytes(tagged)
    (frame,) = opened(path)
    assert np.abs(frame.image.astype(int) - np.rot90(picture, -1)).mean() < 3


def test_numbered_pictures_of_one_size_are_a_film(tmp_path: Path, opened: Open) -> None:
    names = [f"frame_{i}.png" for i in range(8, 13)]  # 8, 9, 10: in natural order
    source = opened(write_pictures(tmp_path / "film", names), fps=12.5)
    frames = list(source)
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.08, 0.16, 0.24, 0.32])
    assert {frame.epoch for frame in frames} == {0}
    assert (source.fps, source.frame_count) == (12.5, 5)


def test_unrelated_pictures_each_begin_a_new_epoch(tmp_path: Path, opened: Open) -> None:
    names = ["anna.png", "ben.png", "p1.png", "p2.png", "p4.png", "q5.png"]
    folder = write_pictures(tmp_path / "album", names)
    frames = list(opened(folder))
    assert [frame.epoch for frame in frames] == [0, 1, 2, 2, 3, 4]
    assert [frame.index for frame in frames] == list(range(6))


def test_numbered_photographs_that_do_not_resemble_one_another_are_no_film(
    tmp_path: Path, opened: Open
) -> None:
    folder = tmp_path / "camera"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        blocks = rng.integers(0, 256, (6, 8, 3), np.uint8)
        photograph = cv2.resize(blocks, (64, 48), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / f"IMG_{i}.png"), photograph)
    frames = list(opened(folder))
    assert [frame.epoch for frame in frames] == [0, 1, 2]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 2, 4])


def test_a_numbered_picture_of_another_size_begins_a_new_epoch(
    tmp_path: Path, opened: Open
) -> None:
    folder = write_pictures(tmp_path / "f", ["f1.png", "f2.png"])
    cv2.imwrite(str(folder / "f3.png"), grey(100, (32, 24)))
    assert [frame.epoch for frame in opened(folder)] == [0, 0, 1]


def test_unreadable_pictures_are_left_out_and_counted(
    tmp_path: Path, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_pictures(tmp_path / "f", [f"f{i}.png" for i in range(1, 7)])
    (folder / "f3.png").write_bytes(b"no picture")
    (folder / "f6.png").write_bytes(b"")
    (folder / "notes.txt").write_text("ignored")
    (folder / ".hidden.png").write_text("ignored")
    with caplog.at_level(logging.WARNING):
        source = opened(folder)
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 3, 4]
    assert {frame.epoch for frame in frames} == {0}, "a hole does not end a film"
    assert source.dropped == 2
    assert "left out: f3.png is damaged or not a picture" in caplog.text


def test_pictures_too_large_for_opencv_are_named_as_what_they_are(
    tmp_path: Path, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_pictures(tmp_path / "f", ["a.png"])
    cv2.imwrite(str(folder / "wide.png"), grey(9, (LARGEST_SIDE + 1, 2)))
    cv2.imwrite(str(tmp_path / "high.png"), grey(9, (2, LARGEST_SIDE + 1)))
    cv2.imwrite(str(tmp_path / "largest.png"), grey(9, (LARGEST_SIDE, 2)))
    assert "high.png is larger than 32766 pixels a side; make" in problem_of(tmp_path / "high.png")
    source = opened(folder)
    assert (len(list(source)), source.dropped) == (1, 1)
    assert "left out: wide.png is larger than 32766 pixels" in caplog.text
    (frame,) = opened(tmp_path / "largest.png")
    cv2.warpAffine(frame.image, np.eye(2, 3), (96, 96))  # what a larger one fails in


def test_nothing_is_printed_about_pictures_that_cannot_be_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stderr_is_apart.set()  # as in the programs
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "float.tiff"), noise.astype(np.float32))
    for suffix in (".png", ".tiff", ".webp", ".jpg", ".bmp"):
        data = cv2.imencode(suffix, noise)[1].tobytes()
        (tmp_path / f"half{suffix}").write_bytes(data[: len(data) // 2])
        if suffix == ".png":  # libpng complains of the checksum, by itself
            (tmp_path / "flipped.png").write_bytes(data[:9000] + b"????" + data[9004:])
    for path in tmp_path.iterdir():
        with pytest.raises(SourceError):
            load_picture(path, path.name)
    assert capfd.readouterr() == ("", "")


NOISE = """
import os, sys
from files import ensure_stderr
from sources.photographs import silent_opencv
ensure_stderr()
with silent_opencv(), silent_opencv():
    os.write(2, b"theirs\\n")
    print("ours", file=sys.stderr)
os.write(2, b"later\\n")
"""


IN_A_HOST = """
import os
from sources.photographs import silent_opencv
with silent_opencv():
    os.write(2, b"the host's\\n")
"""


def test_the_library_leaves_standard_error_to_its_host() -> None:
    assert run_child(IN_A_HOST).stderr == "the host's\n"


def test_our_own_lines_are_not_silenced_with_the_libraries() -> None:
    assert run_child(NOISE).stderr == "ours\nlater\n"


@pytest.mark.parametrize("suffix", [".jfif", ".gif", ".avif", ".jp2"])
def test_rarer_formats_are_read_from_folders(suffix: str, tmp_path: Path) -> None:
    kind = ".jpg" if suffix == ".jfif" else suffix
    if not cv2.haveImageWriter("x" + kind):
        pytest.skip(f"this OpenCV has no {kind}")
    picture = grey(120, (64, 48))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(cv2.imencode(kind, picture)[1].tobytes())
    assert list_pictures(tmp_path) == [path]
    assert load_picture(path, "a").mean() == pytest.approx(120, abs=6)  # a GIF is dithered
    assert picture_size(path) == (64, 48)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def test_heic_wants_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "phone.heic"
    path.write_bytes(HEIC)
    with pytest.raises(SourceError, match="is a HEIC picture; `pip install pillow-heif`"):
        load_picture(path, path.name)


def test_heic_is_read_by_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = grey(120, (64, 48))

    def open_heif(path: Path, convert_hdr_to_8bit: bool, bgr_mode: bool) -> object:
        if not (convert_hdr_to_8bit and bgr_mode and path.read_bytes() == HEIC):
            raise ValueError("damaged")
        return picture

    monkeypatch.setitem(sys.modules, "pillow_heif", SimpleNamespace(open_heif=open_heif))
    path = tmp_path / "phone.jpg"  # telephones call it so when they share it
    path.write_bytes(HEIC)
    np.testing.assert_array_equal(load_picture(path, path.name), picture)
    path.write_bytes(HEIC[:-1])
    with pytest.raises(SourceError, match="damaged or not a picture"):
        load_picture(path, path.name)


def test_a_heic_file_without_a_picture_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Empty:
        @property
        def __array_interface__(self) -> dict[str, object]:
            raise IndexError("no primary image")

    opener = SimpleNamespace(open_heif=lambda path, **options: Empty())
    monkeypatch.setitem(sys.modules, "pillow_heif", opener)
    path = tmp_path / "phone.heic"
    path.write_bytes(HEIC)
    with pytest.raises(SourceError, match="damaged or not a picture"):
        load_picture(path, path.name)


def test_the_size_of_heic_is_read_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "huge.heic"
    size = (40_000).to_bytes(4, "big") * 2
    path.write_bytes(HEIC + b"ispe\0\0\0\0" + size + b"ispe\0\0\0\0" + bytes([0, 0, 2, 0] * 2))
    with pytest.raises(SourceError, match="40000 x 40000 pixels"):
        load_picture(path, path.name)


def test_a_folder_of_unreadable_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("text")
    assert "no picture that can be decoded" in problem_of(tmp_path)
