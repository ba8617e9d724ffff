"""The picture of who is in a set."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from errors import SinkError
from training.labels import Face
from training.preparing.summary import age_shares, draw, shares


def test_a_range_is_spread_over_its_years() -> None:
    faces = [Face("a", (20, 29)), Face("b", (23, 23)), Face("c", (3, 9)), Face("d")]
    found = age_shares(faces)
    assert found.sum() == pytest.approx(1)
    assert found[[4, 5]] == pytest.approx([(0.5 + 1) / 3, 0.5 / 3])
    assert found[[0, 1]] == pytest.approx([2 / 7 / 3, 5 / 7 / 3])


def test_the_very_old_are_in_the_last_bin() -> None:
    assert age_shares([Face("a", (116, 116)), Face("b", (100, 100))])[-1] == 1


def test_shares_are_of_those_known() -> None:
    np.testing.assert_allclose(shares([0, 1, 1, None], 3), [1 / 3, 2 / 3, 0])
    assert not shares([None], 2).any() and not age_shares([]).any()


@pytest.mark.parametrize(
    "faces",
    [
        [Face("a", (20, 29), True, 2, split="train"), Face("b", (70, 100), False, 4, split="test")],
        [Face(str(i), female=bool(i % 2), person="p", split=f"fold{i % 5}") for i in range(10)],
        [Face("a")],
    ],
)
def test_any_set_can_be_drawn_and_equal_sets_give_equal_files(
    tmp_path: Path, faces: list[Face]
) -> None:
    for name in ("1", "2"):
        draw("set", faces, tmp_path / f"{name}.png")
    first, second = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert first == second
    picture = np.asarray(cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR))
    assert picture.shape[1] > 1000 and picture.std() > 5


def test_a_plot_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"a\.png: File exists"):
        draw("set", [Face("a")], tmp_path / "file" / "a.png")
