from itertools import pairwise

import numpy as np
import pytest

from detectors.mtcnn_nets import Net
from detectors.pyramid import CELL, STRIDE, Pyramid, level_sizes, place_levels


@pytest.mark.parametrize("min_face", [12, 20, 40, 77])
@pytest.mark.parametrize("size", [(640, 360), (123, 457), (80, 80)])
def test_the_levels_cover_all_faces_from_the_smallest_to_the_picture(
    size: tuple[int, int], min_face: int
) -> None:
    sizes = level_sizes(*size, min_face, 0.709)
    faces = [CELL * size[0] / width for width, _ in sizes]  # a cell, in the picture's pixels
    assert faces[0] == pytest.approx(min_face, rel=0.05)
    assert faces[-1] * 1.45 > min(size) * 0.95
    assert all(larger / smaller < 1.6 for smaller, larger in pairwise(faces))
    assert min(min(s) for s in sizes) >= CELL


def test_a_picture_too_small_for_a_face_has_no_level() -> None:
    assert level_sizes(39, 500, 40, 0.709) == []
    for side in range(CELL, 2000):
        assert level_sizes(side, side, side, 0.709) == [(CELL, CELL)]
    assert Pyramid((39, 500), 40, 0.709).levels == []


@pytest.mark.parametrize("size", [(640, 360), (333, 999), (41, 40)])
def test_levels_do_not_overlap_and_start_on_a_stride(size: tuple[int, int]) -> None:
    levels = place_levels(level_sizes(*size, 20, 0.709))
    covered = np.zeros((3000, 1000), int)
    for x, y, width, height in levels:
        assert x % STRIDE == y % STRIDE == 0
        covered[y : y + height, x : x + width] += 1
    assert covered.max() == 1


def test_the_packed_levels_give_what_the_levels_give_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (600, 480, 3), dtype=np.uint8)
    net = Net("pnet")
    pyramid = Pyramid((480, 600), 40, 0.709)
    canvas = pyramid.pack(image)
    packed = net(canvas)[0].copy()
    seen = np.zeros(packed.shape[1:], bool)
    for x, y, width, height in pyramid.levels:
        alone = net(canvas[:, y : y + height, x : x + width].copy())[0]
        rows, columns = (height - CELL) // STRIDE + 1, (width - CELL) // STRIDE + 1
        window = np.s_[y // 2 : y // 2 + rows, x // 2 : x // 2 + columns]
        np.testing.assert_allclose(
            packed[:, *window], alone[:, :rows, :columns], rtol=1e-4, atol=1e-4
        )
        seen[window] = True
    np.testing.assert_array_equal(seen, ~pyramid.outside)


def test_a_window_of_the_canvas_is_a_box_of_the_picture() -> None:
    pyramid = Pyramid((400, 300), 24, 0.5)  # levels of 200 x 150, 100 x 75, ...
    second = pyramid.levels[1]
    boxes = pyramid.boxes(np.array([0, second.y // 2 + 3]), np.array([5, second.x // 2]))
    np.testing.assert_allclose(boxes, [(20, 0, 44, 24), (0, 24, 48, 72)])
