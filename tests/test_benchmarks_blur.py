import numpy as np
import pytest

from benchmarks.blur import covered_share


def test_a_face_is_covered_by_the_share_of_its_box_that_lies_in_grown_places() -> None:
    face = np.array((10, 10, 20, 20), np.float32)
    assert covered_share(face, np.array([(10, 10, 20, 20)], np.float32)) == 1
    assert covered_share(face, np.array([(16, 0, 36, 40)], np.float32)) == pytest.approx(
        0.9, abs=0.1
    )
    assert covered_share(face, np.array([(40, 40, 50, 50)], np.float32)) == 0
    assert covered_share(face, np.zeros((0, 4), np.float32)) == 0
