import cv2
import numpy as np
import pytest

from estimators.crops import align, evidence_weights, fit_misfit_and_size, fit_similarity

TEMPLATE = np.array(
    [[0.317, 0.303], [0.671, 0.304], [0.492, 0.512], [0.334, 0.674], [0.652, 0.673]], np.float32
)


def similarity(scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def test_the_fit_recovers_the_similarity_that_moved_the_points() -> None:
    truth = [similarity(120, 17, (300, 40)), similarity(24, -60, (-5, 700))]
    points = np.stack([moved(m, TEMPLATE) for m in truth])
    for fitted, matrix in zip(fit_similarity(points, TEMPLATE), truth, strict=True):
        np.testing.assert_allclose(moved(fitted, moved(matrix, TEMPLATE)), TEMPLATE, atol=1e-4)


def test_the_fit_is_the_least_squares_solution_of_a_general_solver() -> None:
    rng = np.random.default_rng(1)
    points = (TEMPLATE * 80 + rng.normal(0, 6, TEMPLATE.shape)).astype(np.float32)
    # Unknowns a, b, tx, ty of x' = a x - b y + tx, y' = b x + a y + ty.
    x, y = points[:, 0], points[:, 1]
    one, zero = np.ones(5), np.zeros(5)
    design = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, tx, ty = np.linalg.lstsq(design, TEMPLATE.T.ravel(), rcond=None)[0]
    want = [[a, -b, tx], [b, a, ty]]
    np.testing.assert_allclose(fit_similarity(points[None], TEMPLATE)[0], want, atol=1e-6)


def test_points_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="got"):
        fit_similarity(np.zeros((2, 4, 2), np.float32), TEMPLATE)


def test_the_misfit_is_nil_for_a_similar_face_and_grows_when_it_turns_away() -> None:
    frontal = moved(similarity(90, 5, (40, 40)), TEMPLATE)
    profile = frontal.copy()
    profile[:, 0] = 100 + (frontal[:, 0] - 100) * 0.4
    misfits, sizes = fit_misfit_and_size(np.stack([frontal, profile]), TEMPLATE)
    assert misfits[0] < 1e-3
    assert misfits[1] > 0.05
    assert sizes[0] == pytest.approx(90, rel=1e-4)


@pytest.mark.parametrize("scale", [30, 112, 500])
def test_marks_drawn_at_the_landmarks_lie_at_the_template_in_the_chip(scale: int) -> None:
    image = np.zeros((900, 900, 3), np.uint8)
    points = moved(similarity(scale, 20, (350, 250)), TEMPLATE)
    for i, (x, y) in enumerate(points):
        centre = (round(float(x)), round(float(y)))
        cv2.circle(
            image, centre, max(scale // 25, 1), (0, 0, 255) if i < 2 else (255, 255, 255), -1
        )
    chip = align(image, points[None], TEMPLATE, 96)[0]
    for i, (u, v) in enumerate(TEMPLATE):
        x, y = round(float(u) * 96), round(float(v) * 96)
        patch = chip[y - 4 : y + 5, x - 4 : x + 5].astype(int)
        assert patch[..., 0].max() > 90, "the mark is not where the template puts it"
        if i < 2:
            assert patch[..., 0].max() > 3 * patch[..., 2].max(), (
                "red must come first: chips are RGB"
            )


def test_fine_detail_of_a_large_face_is_averaged_and_not_aliased() -> None:
    image = np.zeros((1000, 1000, 3), np.uint8)
    image[:, ::2] = 255  # stripes far finer than a chip pixel: only their mean may remain
    points = moved(similarity(800, 0, (100, 100)), TEMPLATE)
    chip = align(image, points[None], TEMPLATE, 64)[0]
    assert abs(chip.astype(float) - 127.5).max() < 12


def test_a_face_at_the_edge_or_outside_gives_a_chip_that_is_black_there() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    away = moved(similarity(60, 0, (500, 500)), TEMPLATE)
    corner = moved(similarity(60, 0, (-30, -30)), TEMPLATE)
    chips = align(image, np.stack([away, corner]), TEMPLATE, 64)
    assert chips[0].max() == 0
    assert chips[1][:24, :24].max() == 0
    assert chips[1][40:, 40:].min() == 200


def test_alignment_leaves_the_picture_alone_and_no_faces_give_no_chips() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    image.flags.writeable = False
    assert align(image, np.zeros((0, 5, 2), np.float32), TEMPLATE, 96).shape == (0, 96, 96, 3)
    align(image, moved(similarity(400, 0, (-100, -100)), TEMPLATE)[None], TEMPLATE, 96)


def looks(**changes: float) -> float:
    chip = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    if changes.pop("blurred", False):
        chip = cv2.GaussianBlur(chip[0], (0, 0), 6)[None]
    values = {"score": 1.0, "chip_px": 100.0, "misfit": 0.02} | changes
    score, chip_px, misfit = (np.array([values[k]], np.float32) for k in values)
    return float(evidence_weights(score, 1.0, chip_px, misfit, chip)[0])


def test_a_small_blurred_turned_or_doubtful_face_weighs_less() -> None:
    best = looks()
    assert best == 1
    for worse in ({"chip_px": 24.0}, {"misfit": 0.09}, {"score": 0.4}, {"blurred": True}):
        assert 0 < looks(**worse) < 0.6 * best


def test_no_looks_give_no_weights() -> None:
    none = np.zeros(0, np.float32)
    assert evidence_weights(none, 1.0, none, none, np.zeros((0, 8, 8, 3), np.uint8)).shape == (0,)
