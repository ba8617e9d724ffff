"""Lines and zones as values: what is refused, and on which side a point lies."""

import numpy as np
import pytest

from people.zones import MOST, Layout, Line, Zone, as_text, parse_line, parse_zone

SIZE_WH = (640, 480)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("door", "want NAME=x1,y1,x2,y2"),
        ("door=", "want NAME=x1,y1,x2,y2"),
        ("door=0.1,0.2,0.3", "want NAME=x1,y1,x2,y2"),
        ("door=a,b,c,d", "want NAME=x1,y1,x2,y2"),
        ("=0.1,0.5,0.9,0.5", "a name has"),
        ("my door=0.1,0.5,0.9,0.5", "a name has"),
        ("a/b=0.1,0.5,0.9,0.5", "a name has"),
        (f"{'x' * 41}=0.1,0.5,0.9,0.5", "a name has"),
        ("door=64,240,576,240", "outside the picture"),
        ("door=0.1,0.5,1.01,0.5", "outside the picture"),
        ("door=-0.1,0.5,0.9,0.5", "outside the picture"),
        ("door=nan,0.5,0.9,0.5", "outside the picture"),
        ("door=0.1,inf,0.9,0.5", "outside the picture"),
        ("door=0.5,0.5,0.5,0.5", "ends where it begins"),
        ("door=0.1,0.5", "two points, got 1"),
        ("door=0.1,0.5,0.9,0.5,0.9,0.9", "more make a zone"),
    ],
)
def test_a_bad_line_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_line(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hall=0.1,0.1,0.9,0.9", "two make a line"),
        ("hall=0.1,0.1", "three points or more, got 1"),
        ("hall=0.1,0.1,0.9,0.9,0.9,0.1,0.1,0.9", "sides cross"),  # a bow
        ("hall=0.1,0.1,0.5,0.5,0.9,0.9", "flat"),
        ("hall=0.1,0.1,0.9,0.1,0.9,0.9,0.1,0.1", "sides cross"),  # closed by its first corner
        ("hall=0.1,0.1,0.9,0.1,0.5,0.1,0.5,0.9", "sides cross"),  # touches itself
        ("hall=0.1,0.1,0.9,0.1,0.9,1.2", "outside the picture"),
    ],
)
def test_a_bad_zone_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_zone(text)


@pytest.mark.parametrize("text", ["door=0.1,0.5,0.9,0.5", "tür_2=0,1,0.3333,0.5"])
def test_a_line_is_written_as_it_is_read(text: str) -> None:
    assert as_text(parse_line(text)) == text


def test_a_layout_has_no_name_twice_and_not_too_many() -> None:
    door = parse_line("a=0.1,0.5,0.9,0.5")
    with pytest.raises(ValueError, match="called a"):
        Layout((door, parse_zone("a=0.1,0.1,0.9,0.1,0.9,0.9")))
    with pytest.raises(ValueError, match="at most"):
        Layout(tuple(Line(f"l{i}", door.points) for i in range(MOST + 1)))


def test_a_new_name_is_one_that_is_free() -> None:
    layout = Layout((parse_line("line1=0.1,0.5,0.9,0.5"),))
    assert (layout.free_name("line"), layout.free_name("zone")) == ("line2", "zone1")
    assert layout.without("line1").free_name("line") == "line1"


def test_the_side_in_is_below_a_line_from_left_to_right() -> None:
    line = parse_line("door=0.1,0.5,0.9,0.5")
    assert line.distance((320, 300), SIZE_WH) == pytest.approx(60)
    assert line.distance((320, 200), SIZE_WH) == pytest.approx(-40)
    back = parse_line("door=0.9,0.5,0.1,0.5")
    assert back.distance((320, 300), SIZE_WH) == pytest.approx(-60)


def test_distances_are_those_of_pixels_also_for_a_slanting_line() -> None:
    line = parse_line("door=0.25,0.25,0.75,0.75")  # (160, 120) to (480, 360)
    rng = np.random.default_rng(1)
    for point in rng.uniform(0, 480, (20, 2)):
        along = np.array([320.0, 240.0]) / 400
        there = point - [160, 120]
        foot = there - (there @ along) * along
        assert abs(line.distance(tuple(point), SIZE_WH)) == pytest.approx(np.hypot(*foot))


def test_a_way_beside_the_end_does_not_lead_through_a_line() -> None:
    line = parse_line("door=0.25,0.5,0.75,0.5")  # x from 160 to 480
    for x, through in ((150, False), (161, True), (479, True), (490, False)):
        assert line.lies_between((x, 100), (x, 400), SIZE_WH) is through
    assert line.lies_between((100, 100), (300, 400), SIZE_WH)
    assert not line.lies_between((100, 100), (150, 400), SIZE_WH)


def test_a_zone_holds_what_its_mask_does() -> None:
    zone = parse_zone("u=0.1,0.1,0.4,0.1,0.4,0.6,0.6,0.6,0.6,0.1,0.9,0.1,0.9,0.9,0.1,0.9")
    y, x = np.mgrid[5:480:10, 5:640:10]
    left = (x > 64) & (x < 256) & (y > 48) & (y < 432)
    right = (x > 384) & (x < 576) & (y > 48) & (y < 432)
    foot = (x > 64) & (x < 576) & (y > 288) & (y < 432)
    held = [zone.holds((float(a), float(b)), SIZE_WH) for a, b in zip(x.flat, y.flat, strict=True)]
    assert held == list((left | right | foot).flat)


def test_the_order_of_the_corners_does_not_matter() -> None:
    corners = ((0.1, 0.1), (0.9, 0.1), (0.5, 0.9))
    for points in (corners, corners[::-1]):
        zone = Zone("a", points)
        assert zone.holds((320, 200), SIZE_WH) and not zone.holds((60, 400), SIZE_WH)
