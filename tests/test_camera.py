import cv2
import numpy as np
import pytest

from structures import NOWHERE, Float32, Frame, Image
from tracking.boxes import Float64
from tracking.camera import CameraMotion

SIZE_WH = 640, 360
FACE = np.array([[280, 120, 360, 220]], np.float32)


def scene(seed: int = 1, size_wh: tuple[int, int] = SIZE_WH) -> Image:
    """A picture with corners all over."""
    rng = np.random.default_rng(seed)
    image = np.full((size_wh[1], size_wh[0], 3), 110, np.uint8)
    for _ in range(90):
        x, y = rng.integers(0, size_wh[0]), rng.integers(0, size_wh[1])
        w, h = rng.integers(10, size_wh[0] // 6, 2)
        image[y : y + h, x : x + w] = rng.integers(20, 230, 3)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8)


def similarity(x: float, y: float, zoom: float = 1.0, degrees: float = 0.0) -> Float64:
    matrix = np.asarray(cv2.getRotationMatrix2D((320, 180), degrees, zoom), np.float64)
    matrix[:, 2] += x, y
    return matrix


def seen(image: Image, matrix: Float64) -> Image:
    size_wh = image.shape[1], image.shape[0]
    moved = cv2.warpAffine(image, matrix, size_wh, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def motion(before: Image, after: Image, faces: Float32 = FACE) -> Float64 | None:
    camera = CameraMotion()
    assert camera.update(Frame(before, 0, 0.0), faces) is None
    return camera.update(Frame(after, 1, 0.04), faces)


@pytest.mark.parametrize(
    "matrix",
    [similarity(9, -4), similarity(-30, 12), similarity(3, 2, 1.04), similarity(5, 0, 0.97, 2.0)],
)
def test_the_motion_of_the_whole_picture_is_found_to_two_pixels(matrix: Float64) -> None:
    found = motion(scene(), seen(scene(), matrix))
    assert found is not None
    corners = np.array([[0, 0, 1], [640, 0, 1], [0, 360, 1], [320, 180, 1]], float)
    np.testing.assert_allclose(corners @ found.T, corners @ matrix.T, atol=2.0)


def test_it_is_given_in_pixels_of_the_image_whatever_its_size() -> None:
    image = scene(2, (1920, 1080))
    matrix = np.array([[1, 0, 24.0], [0, 1, -12]])
    found = motion(image, seen(image, matrix), 3 * FACE)
    assert found is not None
    np.testing.assert_allclose(found[:, 2], [24, -12], atol=1.5)


def test_a_camera_at_rest_does_not_move_whatever_walks_before_it() -> None:
    def passing(x: int) -> Image:
        image = scene()
        image[60:, x : x + 160] = scene(5)[60:, :160]
        return image

    assert motion(passing(200), passing(212)) is None
    rng = np.random.default_rng(0)
    noise = [np.clip(scene() + rng.normal(0, 4, scene().shape), 0, 255) for _ in range(2)]
    assert motion(noise[0].astype(np.uint8), noise[1].astype(np.uint8)) is None


def test_nothing_is_known_of_other_scenes_plain_pictures_and_pictures_of_another_size() -> None:
    plain = np.full((360, 640, 3), 90, np.uint8)
    assert motion(scene(1), scene(7)) is None
    assert motion(plain, plain + np.uint8(60)) is None
    assert motion(scene(1), scene(1, (1920, 1080))) is None


def test_without_faces_and_after_a_reset_there_is_nothing_to_move() -> None:
    moved = seen(scene(), similarity(9, -4))
    assert motion(scene(), moved, NOWHERE) is None
    camera = CameraMotion()
    camera.update(Frame(scene(), 0, 0.0), FACE)
    camera.reset()
    assert camera.update(Frame(moved, 1, 0.04), FACE) is None
