"""Several cameras in one picture: where their pixels end up, and when it is handed on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drawing.overlay import Overlay, track_colour
from outputs.grid import GridSink, cells, fit
from structures import Frame, FrameResult, Image, SourceState, SourceStatus, Track, TrackState
from tests.fakes import grey

LOST = SourceStatus(SourceState.RECONNECTING, "it does not answer")


class Keeper:
    """A sink that keeps what it is given."""

    wants_picture = True

    def __init__(self) -> None:
        self.closed = False
        self.pictures: list[Image] = []
        self.times_s: list[float] = []
        self.calls: list[tuple[str, int]] = []

    def write(self, picture: Image | None, result: FrameResult, call: str = "write") -> None:
        assert picture is not None
        self.pictures.append(picture)
        self.times_s.append(result.frame.time_s)
        self.calls.append((call, result.frame.index))

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        self.write(picture, result, "refresh")

    def close(self) -> None:
        self.closed = True


def grid_of(
    *cameras: str, size_wh: tuple[int, int] = (404, 204), clock: Callable[[], float] = lambda: 0.0
) -> tuple[Keeper, GridSink]:
    keeper = Keeper()
    return keeper, GridSink([keeper], cameras, Overlay(status=False), size_wh, clock)


def shot(
    camera: str, level: int, size_wh: tuple[int, int] = (160, 80), **fields: Any
) -> FrameResult:
    return FrameResult(Frame(grey(level, size_wh), 0, 0.0), camera=camera, **fields)


@pytest.mark.parametrize("count", range(1, 17))
def test_cells_are_equal_lie_inside_and_do_not_overlap(count: int) -> None:
    taken = np.zeros((1080, 1920), int)
    rects = cells(count, (1920, 1080))
    for x, y, width, height in rects:
        assert x >= 0 and y >= 0 and x + width <= 1920 and y + height <= 1080
        taken[y : y + height, x : x + width] += 1
    assert len(rects) == count and taken.max() == 1
    assert len({rect[2:] for rect in rects}) == 1


def test_one_camera_has_the_whole_picture() -> None:
    assert cells(1, (640, 360)) == [(0, 0, 640, 360)]


@pytest.mark.parametrize("size_wh", [(1920, 1080), (1921, 1079), (176, 144), (30, 900), (3, 2)])
def test_a_picture_is_made_to_fit_with_its_aspect_and_brightness(size_wh: tuple[int, int]) -> None:
    fitted = fit(shot("a", 77, size_wh), (200, 100)).frame
    assert fitted.size_wh[0] <= 200 and fitted.size_wh[1] <= 100
    assert fitted.size_wh[0] == 200 or fitted.size_wh[1] == 100
    ratio = size_wh[0] / size_wh[1]
    assert fitted.size_wh[0] == pytest.approx(ratio * fitted.size_wh[1], rel=0.02, abs=1)
    assert (fitted.image == 77).all()


@pytest.mark.parametrize("whole", [2, 4])
def test_a_picture_made_whole_times_smaller_has_the_means_of_its_blocks(whole: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (60, 120, 3), np.uint8)
    small = fit(FrameResult(Frame(image, 0, 0.0)), (120 // whole, 60 // whole)).frame.image
    means = image.reshape(60 // whole, whole, 120 // whole, whole, 3).mean(axis=(1, 3))
    assert np.abs(small - means).max() <= 1


def test_boxes_are_scaled_with_their_picture() -> None:
    box = np.array((16, 8, 80, 40), np.float32)
    track = Track(1, box, TrackState.CONFIRMED, 0, 0, 9)
    fitted = fit(shot("a", 9, tracks=(track,)), (80, 80))
    assert fitted.frame.size_wh == (80, 40)
    assert fitted.tracks[0].box.tolist() == [8, 4, 40, 20]
    assert fitted.tracks[0].box.dtype == np.float32


def test_each_camera_is_seen_in_its_own_place() -> None:
    keeper, grid = grid_of("a", "b", "c", "d")
    for camera, level in zip("abcd", (50, 100, 150, 200), strict=True):
        grid.write(None, shot(camera, level))
    (picture,) = keeper.pictures
    middles = [picture[y, x, 0] for y in (50, 154) for x in (100, 304)]
    assert middles == [50, 100, 150, 200]
    assert picture[102, 100, 0] == picture[50, 202, 0] == 24  # between them


def test_pictures_of_another_shape_are_letterboxed() -> None:
    keeper, grid = grid_of("", size_wh=(200, 100))
    grid.write(None, shot("", 200, (50, 100)))
    row = keeper.pictures[0][50, :, 0]
    assert (row[75:125] == 200).all() and (row[:75] == 24).all() and (row[125:] == 24).all()
    grid.write(None, shot("", 200, (200, 50)))
    column = keeper.pictures[1][:, 0, 0]
    assert (column[25:75] == 200).all() and (column[:25] == 24).all() and (column[75:] == 24).all()


def test_faces_are_drawn_at_the_size_they_are_shown_in() -> None:
    track = Track(3, np.array((400, 200, 800, 600), np.float32), TrackState.CONFIRMED, 0, 0, 9)
    keeper, grid = grid_of("a", size_wh=(200, 100))
    grid.write(None, shot("a", 50, (1600, 800), tracks=(track,)))
    assert tuple(keeper.pictures[0][50, 50]) == track_colour(3)


def test_a_round_is_handed_on_once_when_all_have_been_heard_of() -> None:
    keeper, grid = grid_of("a", "b", "c")
    for turn in range(3):
        for camera in "cab":
            assert len(keeper.pictures) == turn
            grid.write(None, shot(camera, 60 + turn))
    assert keeper.calls == [("write", 1), ("write", 2), ("write", 3)]
    assert [picture[50, 100, 0] for picture in keeper.pictures] == [60, 61, 62]


def test_a_slow_or_silent_camera_does_not_hold_the_others_up() -> None:
    keeper, grid = grid_of("fast", "silent")
    for turn in range(6):
        grid.write(None, shot("fast", 60 + turn))
    # The first is waited with, in case the other comes; from then on each is shown at once.
    assert [picture[102, 100, 0] for picture in keeper.pictures] == [61, 62, 63, 64, 65]


def test_where_nothing_new_came_the_inner_sink_is_refreshed() -> None:
    keeper, grid = grid_of("a", "b")
    for camera in "abab":
        grid.write(None, shot(camera, 60))
    for camera in "ab" * 2:
        grid.refresh(None, shot(camera, 60, status=LOST))
    calls = [call for call, _ in keeper.calls]
    assert calls[:2] == ["write", "write"] and set(calls[2:]) == {"refresh"}
    assert len(calls) <= 6
    assert {index for _, index in keeper.calls[1:]} == {2}


def test_a_lost_camera_is_dimmed_and_one_never_seen_says_that_it_connects() -> None:
    keeper, grid = grid_of("a", "b", "never")
    grid.write(None, shot("a", 200))
    grid.write(None, shot("b", 200))
    grid.refresh(None, shot("a", 200, status=LOST))
    grid.write(None, shot("b", 200))
    picture = keeper.pictures[-1]
    assert picture[20, 100, 0] < 100 and picture[20, 304, 0] == 200
    connecting = SourceStatus(SourceState.CONNECTING)
    expected = Overlay(status=False).placeholder((200, 100), "never", connecting)
    assert np.array_equal(picture[104:204, :200], expected)


def test_only_what_changed_is_drawn_again() -> None:
    class Counting(Overlay):
        drawn = 0

        def draw(self, result: FrameResult) -> Image:
            self.drawn += 1
            return super().draw(result)

    overlay = Counting()
    grid = GridSink([Keeper()], ["a", "b"], overlay, (404, 204))
    for _ in range(5):
        grid.write(None, shot("a", 60))
    assert overlay.drawn == 4 + 1  # and one placeholder


def test_one_camera_can_be_shown_alone_and_then_all_again() -> None:
    keeper, grid = grid_of("a", "b")
    for camera, level in (("a", 50), ("b", 100)):
        grid.write(None, shot(camera, level))
    grid.select(2)
    for camera, level in (("a", 50), ("b", 100)):
        grid.write(None, shot(camera, level))
    assert (keeper.pictures[-1][30:203] == 100).all()
    grid.select(9)  # there is none: nothing changes
    grid.select(0)
    for camera, level in (("a", 50), ("b", 100)):
        grid.write(None, shot(camera, level))
    assert np.array_equal(keeper.pictures[-1], keeper.pictures[0])


def test_pictures_handed_on_are_not_changed_afterwards() -> None:
    keeper, grid = grid_of("a")
    for level in (10, 20):
        grid.write(None, shot("a", level))
    assert (keeper.pictures[0][50] == 10).all()


def test_times_are_those_of_the_clock() -> None:
    ticks = iter([100.0, 100.5, 101.25])
    keeper, grid = grid_of("a", "b", clock=lambda: next(ticks))
    for camera in "abab":
        grid.write(None, shot(camera, 10))
    assert keeper.times_s == [0.5, 1.25]


def test_one_camera_alone_keeps_the_times_of_its_film() -> None:
    keeper, grid = grid_of("a")
    grid.write(None, FrameResult(Frame(grey(9, (160, 80)), 7, 3.5), camera="a"))
    assert (keeper.times_s, keeper.calls) == ([3.5], [("write", 7)])


def test_after_a_resize_everything_is_drawn_in_the_new_size() -> None:
    _, grid = grid_of("a", "b")
    for camera in "ab":
        grid.write(None, shot(camera, 50))
    grid.resize((804, 404))
    assert grid.redraw().shape == (404, 804, 3)
    assert [grid.redraw()[200, x, 0] for x in (200, 600)] == [50, 50]


def test_a_style_that_was_changed_shows_at_once() -> None:
    track = Track(3, np.array((40, 20, 80, 60), np.float32), TrackState.CONFIRMED, 0, 0, 9)
    keeper, grid = grid_of("a", size_wh=(320, 160))
    grid.write(None, shot("a", 50, tracks=(track,)))
    grid.overlay.style = replace(grid.overlay.style, line_width=21)
    assert (grid.redraw() != keeper.pictures[0]).any()


def test_a_still_of_one_camera_has_the_size_of_its_frame() -> None:
    _, grid = grid_of("a", "b")
    for camera in "ab":
        grid.write(None, shot(camera, 50, (640, 320)))
    assert grid.still().shape == (204, 404, 3)
    grid.select(2)
    assert grid.still().shape == (320, 640, 3)


def test_it_is_closed_with_the_sink_it_feeds() -> None:
    keeper, grid = grid_of("a")
    assert not grid.closed and not grid.wants_picture
    grid.close()
    assert grid.closed and keeper.closed


@pytest.mark.parametrize("cameras", [(), ("a", "a")])
def test_cameras_need_names_of_their_own(cameras: list[str]) -> None:
    with pytest.raises(ValueError, match="names of their own, got"):
        grid_of(*cameras)


def test_an_unknown_camera_is_refused() -> None:
    _, grid = grid_of("a")
    with pytest.raises(ValueError, match="got 'b'"):
        grid.write(None, shot("b", 10))
