import numpy as np
import pytest

from errors import redact
from structures import Detections, Estimates, Frame, Gender


def test_a_frame_cannot_be_drawn_on_but_the_array_it_was_made_of_can() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    frame = Frame(image, 0, 0.0)
    assert frame.size_wh == (6, 4)
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0] = 1
    image[0, 0] = 1


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 4)])
def test_a_frame_wants_three_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="got"):
        Frame(np.zeros(shape, np.uint8), 0, 0.0)


def test_detections_of_unequal_lengths_or_other_types_are_refused() -> None:
    boxes, scores = np.zeros((2, 4), np.float32), np.zeros(2, np.float32)
    points = np.zeros((2, 5, 2), np.float32)
    with pytest.raises(ValueError, match=r"want \(N, 4\) float32, got \(2, 4\) float64"):
        Detections(boxes.astype(np.float64), scores, points)
    with pytest.raises(ValueError, match="scores"):
        Detections(boxes, scores[:1], points)
    with pytest.raises(ValueError, match="landmarks"):
        Detections(boxes, scores, np.zeros((2, 4, 2), np.float32))


def test_no_detections_have_all_their_arrays() -> None:
    none = Detections.empty()
    assert len(none) == 0
    assert none.landmarks.shape == (0, 5, 2)


def test_estimates_of_unequal_lengths_are_refused() -> None:
    two, one = np.zeros(2, np.float32), np.zeros(1, np.float32)
    with pytest.raises(ValueError, match="female_prob"):
        Estimates(two, two, one)


def test_a_single_estimate_is_unsure_in_the_middle() -> None:
    assert [Gender.of(p) for p in (0.1, 0.5, 0.6, 0.9)] == ["male", "unsure", "unsure", "female"]


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://joe:s3cret@camera/live",
        "rtsp://joe:s3@c:r/et@camera:554/live",
        "http://camera/video?user=joe&password=s3cret&size=2",
        "cannot open 'rtsp://joe:s3cret@camera/live': refused",
        "rtsp://joe:s3's r/et@camera/live",
        "rtsp:/joe:s3cret@camera/live",
        "joe:s3cret@camera/live",
        "http://camera/video?access_token=s3cret",
        "http://camera/video?api_key=s3cret&apikey=s3cret",
        "http://camera/video?user=joe&password=my s3cret",
        "http://camera/video?password=it's4s3cret\"r/et&user=joe",
    ],
)
def test_no_part_of_a_password_survives(address: str) -> None:
    text = redact(address)
    assert "s3" not in text
    assert "r/et" not in text
    assert "joe" not in text
    assert "camera" in text


def test_a_message_stays_whole_when_it_is_redacted_again() -> None:
    name = redact("rtsp://camera/live?user=joe&password=my s3cret")
    for message in (f"{name} did not answer in time", f"{name}: unknown", f"'{name}', checked"):
        assert redact(message) == message


def test_detections_above_a_score_keep_their_landmarks() -> None:
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    points = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
    found = Detections(boxes, np.array([0.99, 0.9, 0.7], np.float32), points).above(0.9)
    np.testing.assert_array_equal(found.boxes, boxes[:2])
    np.testing.assert_array_equal(found.landmarks, points[:2])


def test_a_slice_of_estimates_holds_those_rows() -> None:
    values = np.arange(4, dtype=np.float32)
    shares = np.arange(20, dtype=np.float32).reshape(4, 5)
    part = Estimates(values, values, values, shares)[1:3]
    assert len(part) == 2
    np.testing.assert_array_equal(part.age_years, [1, 2])
    assert part.ethnicity_probs is not None
    np.testing.assert_array_equal(part.ethnicity_probs[:, 0], [5, 10])
