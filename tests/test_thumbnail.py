import numpy as np
import pytest

from drawing.hiding import hide_faces
from structures import NOWHERE, Frame
from tracking.thumbnail import thumbnail_of


@pytest.mark.parametrize(
    ("size_wh", "small_wh"),
    [
        ((1920, 1080), (192, 108)),
        ((360, 640), (192, 341)),
        ((2000, 2), (192, 1)),
        ((192, 50), (192, 50)),
        ((40, 30), (40, 30)),
    ],
)
def test_a_thumbnail_is_the_green_of_the_frame_made_small(
    size_wh: tuple[int, int], small_wh: tuple[int, int]
) -> None:
    width, height = size_wh
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = np.linspace(0, 255, width)
    small = thumbnail_of(Frame(image, 0, 0.0))
    assert small.dtype == np.uint8
    assert small.shape == small_wh[::-1]
    expected = np.linspace(0, 255, small_wh[0])
    np.testing.assert_allclose(small, np.broadcast_to(expected, small.shape), atol=2)


def test_the_one_that_a_frame_carries_is_taken() -> None:
    made = np.full((4, 6), 9, np.uint8)
    image = np.zeros((40, 60, 3), np.uint8)
    assert thumbnail_of(Frame(image, 0, 0.0, thumbnail=made)) is made


def test_hidden_faces_are_in_no_thumbnail() -> None:
    frame = Frame(np.zeros((40, 60, 3), np.uint8), 0, 0.0, thumbnail=np.zeros((4, 6), np.uint8))
    assert hide_faces(frame, NOWHERE, "blur").thumbnail is None
