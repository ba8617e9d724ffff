import numpy as np
import pytest

from drawing.hiding import CELLS, HIDING, MARGIN, hide, hide_faces
from structures import Float32, Frame, Image


def noise(width: int = 200, height: int = 120) -> Image:
    return np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)


def box(*sides: float) -> Float32:
    return np.array([sides], np.float32)


@pytest.mark.parametrize("kind", HIDING)
def test_a_face_and_a_margin_around_it_change_and_nothing_else_does(kind: str) -> None:
    before, image = noise(), noise()
    hide(image, box(80, 40, 120, 80), kind)
    changed = (image != before).any(axis=2)
    margin = round(40 * MARGIN)
    y, x = np.nonzero(changed)
    assert (x.min(), x.max()) == (80 - margin, 119 + margin)
    assert (y.min(), y.max()) == (40 - margin, 79 + margin)
    assert changed[40:80, 80:120].mean() > 0.95


def test_of_a_pixelated_face_a_few_mean_colours_are_left() -> None:
    image = noise()
    hide(image, box(80, 40, 120, 80), "pixelate")
    colours = np.unique(image[30:90, 70:130].reshape(-1, 3), axis=0)
    assert len(colours) <= CELLS**2


@pytest.mark.parametrize("left", [100, 0, -30, -45])
def test_a_face_at_the_edge_keeps_no_more_than_in_the_middle(left: int) -> None:
    image = np.zeros((120, 400, 3), np.uint8)
    image[..., 0] = np.arange(400) % 256  # a colour for each column
    hide(image, box(left, 20, left + 60, 80), "pixelate")
    grown = 60 * (1 + 2 * MARGIN)
    x1, x2 = max(0, left - 60 * MARGIN), left + 60 * (1 + MARGIN)
    row = image[50, round(x1) : round(x2), 0].astype(int)
    cells = 1 + np.count_nonzero(np.diff(row))
    assert cells <= np.ceil((x2 - x1) / (grown / CELLS))


def test_a_blurred_face_says_no_more_than_a_pixelated_one() -> None:
    # Two pictures with the same mean colours in the cells are the same when blurred.
    flat = np.full((64, 64, 3), 128, np.uint8)
    checked = flat.copy()
    checked[::2, ::2], checked[1::2, 1::2], checked[::2, 1::2], checked[1::2, ::2] = (
        64,
        64,
        192,
        192,
    )
    for image in (flat, checked):
        hide(image, box(16, 16, 48, 48), "blur")
    assert np.abs(flat[8:56, 8:56].astype(int) - checked[8:56, 8:56]).max() <= 1


@pytest.mark.parametrize("kind", HIDING)
@pytest.mark.parametrize(
    "sides",
    [(-50, -50, 20, 20), (190, 110, 400, 400), (500, 500, 600, 600), (-900, -900, -800, -800),
     (60, 60, 60, 60), (60, 60, 61, 61), (80, 80, 20, 20), (np.nan, 0, np.inf, 5),
     (-1e9, -1e9, 1e9, 1e9)],
)  # fmt: skip
def test_a_box_may_lie_anywhere(kind: str, sides: tuple[float, ...]) -> None:
    image = noise()
    hide(image, box(*sides), kind)
    assert image.shape == (120, 200, 3)


def test_a_frame_is_hidden_in_a_new_picture() -> None:
    frame = Frame(noise(), 7, 0.3, 2, arrived_s=1.0)
    hidden = hide_faces(frame, box(80, 40, 120, 80), "pixelate")
    assert (frame.image == noise()).all()
    assert (hidden.image != noise()).any()
    assert (hidden.index, hidden.time_s, hidden.epoch, hidden.arrived_s) == (7, 0.3, 2, 1.0)
