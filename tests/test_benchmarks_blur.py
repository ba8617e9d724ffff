import numpy as np
import pytest

from benchmarks.blur import covered_share, is_whole, other_share


def test_a_face_is_covered_by_the_share_of_its_box_that_lies_in_grown_places() -> None:
    face = np.array((10, 10, 20, 20), np.float32)
    assert covered_share(face, np.array([(10, 10, 20, 20)], np.float32)) == 1
    assert covered_share(face, np.array([(16, 0, 36, 40)], np.float32)) == pytest.approx(
        0.9, abs=0.1
    )
    assert covered_share(face, np.array([(40, 40, 50, 50)], np.float32)) == 0
    assert covered_share(face, np.zeros((0, 4), np.float32)) == 0


def test_what_is_hidden_of_an_image_besides_faces_is_counted_in_pixels() -> None:
    face, elsewhere = (
        np.array([each], np.float32) for each in ((40, 40, 60, 60), (70, 70, 90, 90))
    )
    assert other_share(face, face, (100, 200)) == 0
    both = np.concatenate([face, elsewhere])
    assert other_share(face, both, (100, 200)) == pytest.approx(30 * 30 / (100 * 200), abs=1e-9)
    assert other_share(face[:0], face, (100, 200)) == pytest.approx(30 * 30 / (100 * 200))
    assert other_share(face, face[:0], (100, 200)) == 0


def test_a_frame_is_whole_only_where_one_place_covers_all_of_it() -> None:
    halves = np.array([(0, 0, 50, 200), (50, 0, 100, 200)], np.float32)
    assert not is_whole(halves, (100, 200)) and not is_whole(halves[:0], (100, 200))
    assert is_whole(np.array([(5, 5, 9, 9), (0, 0, 100, 200)], np.float32), (100, 200))
