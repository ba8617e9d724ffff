from pathlib import Path

import cv2
import numpy as np
import pytest

from errors import DatasetError
from tests.fakes import ScriptedDetector, grey
from training.judging.labelled_photos import LABELS, cut_faces, read_labels
from training.labels import Face


def put(folder: Path, *names: str) -> None:
    for name in names:
        cv2.imwrite(str(folder / name), grey(90, (64, 48)))


def test_names_in_the_style_of_utkface_are_labels(tmp_path: Path) -> None:
    put(tmp_path, "34_1_2_20170103.jpg", "7_0_party.jpg", "8.jpg", "IMG_2034.jpg", "200_1_0_x.jpg")
    found, notes = read_labels(tmp_path)
    assert found == [
        Face("7_0_party.jpg", (7, 7), False),
        Face("34_1_2_20170103.jpg", (34, 34), True, 2),
    ]
    assert notes == ["3 left out, without a label: 8.jpg, 200_1_0_x.jpg, IMG_2034.jpg"]


def test_names_of_fgnet_tell_person_and_age(tmp_path: Path) -> None:
    put(tmp_path, "001A08.JPG", "012A43a.JPG", "note.jpg")
    found, notes = read_labels(tmp_path, "fgnet")
    assert found == [
        Face("001A08.JPG", (8, 8), person="001"),
        Face("012A43a.JPG", (43, 43), person="012"),
    ]
    assert notes == ["1 left out, without a label: note.jpg"]


def test_a_table_goes_before_names(tmp_path: Path) -> None:
    put(tmp_path, "34_1_2_x.jpg")
    table = "file,age,gender,person\n34_1_2_x.jpg,30,m,Ann\nb.jpg,,,\n"
    (tmp_path / "labels.csv").write_text(table)
    found, notes = read_labels(tmp_path)
    assert found == [Face("34_1_2_x.jpg", (30, 30), False, person="Ann")]
    assert notes == ["1 left out, without a label: b.jpg"]
    assert read_labels(tmp_path, "utkface")[0] == [Face("34_1_2_x.jpg", (34, 34), True, 2)]


@pytest.mark.parametrize("other", ["link.png", "sub/../a.png", "{folder}/a.png"])
def test_one_photograph_under_two_names_is_refused(tmp_path: Path, other: str) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "link.png").symlink_to("a.png")
    name = other.format(folder=tmp_path)
    (tmp_path / LABELS).write_text(f"file,age\na.png,20\n{name},80\n")
    with pytest.raises(DatasetError, match=r"one photograph|two rows"):
        read_labels(tmp_path)


def test_folders_without_labels_say_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"labels\.csv .* columns file, age"):
        read_labels(tmp_path)
    with pytest.raises(DatasetError, match=r"no folder .*/gone"):
        read_labels(tmp_path / "gone")
    (tmp_path / "labels.csv").write_text("file,age\na.jpg,old\n")
    with pytest.raises(DatasetError, match=r"labels\.csv, line 2: .*old"):
        read_labels(tmp_path)


def test_the_largest_face_is_cut_and_what_goes_wrong_is_counted(tmp_path: Path) -> None:
    for name, level in (("one.png", 10), ("two.png", 20), ("none.png", 30)):
        cv2.imwrite(str(tmp_path / name), grey(level, (200, 100)))
    image = grey(20, (200, 100))
    image[:, 100:] = 250  # where the larger face is
    cv2.imwrite(str(tmp_path / "two.png"), image)
    (tmp_path / "torn.png").write_bytes(b"no picture")
    labels = [Face(f"{name}.png", (i, i), True) for i, name in
              enumerate(["one", "two", "none", "torn", "gone"])]  # fmt: skip
    detector = ScriptedDetector([[(10, 10, 60, 60)], [(5, 5, 35, 35), (120, 10, 190, 80)], []])
    examples = cut_faces(tmp_path, labels, detector, [32, 64], "mine", ["first"])
    assert examples.chips.files.tolist() == ["one.png", "two.png"]
    assert examples.from_photographs and examples.missed is not None
    assert examples.missed.files.tolist() == ["none.png"]
    assert [examples.images(side).shape for side in (32, 64)] == [(2, 32, 32, 3), (2, 64, 64, 3)]
    assert [int(np.median(chip)) for chip in examples.images(32)] == [10, 250]
    assert examples.notes == (
        "first",
        "2 left out, cannot be read: torn.png, gone.png",
        "1 photographs show several faces: the largest one is used",
    )


def test_photographs_without_any_face_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    with pytest.raises(DatasetError, match="no face was found"):
        cut_faces(tmp_path, [Face("a.png", (1, 1))], ScriptedDetector([]), [32], "mine")
    with pytest.raises(DatasetError, match="none of the 1 photographs"):
        cut_faces(tmp_path, [Face("b.png", (1, 1))], ScriptedDetector([]), [32], "mine")
