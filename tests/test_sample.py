"""The bundled clip and its truth agree with each other and with the script that makes them."""

import json
from copy import deepcopy
from datetime import date
from itertools import pairwise
from typing import Any

import av
import cv2
import numpy as np
import pytest

from samples.make_sample import truth_differences, video_differences
from samples.motion import FPS, FRAMES, HERE, SIZE_WH, people, poses, truth, visibility
from samples.scene import render

Truth = dict[str, Any]
CLIP = HERE / "sample.mp4"


@pytest.fixture(scope="module")
def shipped() -> Truth:
    truth: Truth = json.loads((HERE / "sample.json").read_text("utf-8"))
    return truth


def stays(shipped: Truth) -> dict[tuple[int, int], list[tuple[int, dict[str, Any]]]]:
    """(person, appearance) -> [(frame index, row)]."""
    found: dict[tuple[int, int], list[tuple[int, dict[str, Any]]]] = {}
    for frame in shipped["frames"]:
        for row in frame["people"]:
            found.setdefault((row["id"], row["appearance"]), []).append((frame["index"], row))
    return found


def test_the_clip_is_small_h264_with_the_size_and_rate_of_the_truth(shipped: Truth) -> None:
    assert CLIP.stat().st_size <= 2_000_000
    with av.open(str(CLIP)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.format.name) == ("h264", "yuv420p")
        assert [stream.width, stream.height] == shipped["size_wh"] == list(SIZE_WH)
        assert stream.average_rate == shipped["fps"] == FPS
        packets = [packet for packet in container.demux(stream) if packet.size]
    assert len(packets) == len(shipped["frames"]) == FRAMES
    assert len(packets) / FPS >= 15
    keys = sorted(round(p.pts * p.time_base * FPS) for p in packets if p.is_keyframe)
    assert max(b - a for a, b in pairwise([*keys, FRAMES])) <= 2 * FPS


def test_the_shipped_truth_is_what_the_script_makes(shipped: Truth) -> None:
    assert truth_differences(shipped, json.loads(json.dumps(truth()))) == []


def test_a_moved_box_and_a_missing_person_are_noticed(shipped: Truth) -> None:
    other = deepcopy(shipped)
    other["frames"][200]["people"][0]["box"][2] += 0.2
    del other["frames"][201]["people"][0]["visible"]
    differences = truth_differences(shipped, other)
    assert [line.split(":")[0] for line in differences] == [
        ".frames.201.people.0.visible",
        ".frames.200.people.0.box.2",
    ]


def test_frames_are_numbered_and_timed_from_zero(shipped: Truth) -> None:
    assert [frame["index"] for frame in shipped["frames"]] == list(range(FRAMES))
    assert np.allclose([frame["time_s"] for frame in shipped["frames"]], np.arange(FRAMES) / FPS)


def test_there_are_moments_with_nobody_one_two_and_three_people(shipped: Truth) -> None:
    counts = np.bincount([len(frame["people"]) for frame in shipped["frames"]])
    assert len(counts) == 4
    assert counts.min() >= FPS


def test_boxes_have_the_promised_sizes_and_touch_the_picture(shipped: Truth) -> None:
    rows = [row for frame in shipped["frames"] for row in frame["people"]]
    boxes = np.array([row["box"] for row in rows])
    sides = boxes[:, 2:] - boxes[:, :2]
    assert 55 <= sides[:, 1].min() < 75
    assert 200 < sides[:, 1].max() <= 225
    assert np.all((boxes[:, 2] > 0) & (boxes[:, 0] < SIZE_WH[0]))
    assert np.all((boxes[:, 1] > 0) & (boxes[:, 3] < SIZE_WH[1]))
    points = np.array([row["landmarks"] for row in rows])
    assert np.all((points > boxes[:, None, :2]) & (points < boxes[:, None, 2:]))


def test_each_appearance_is_one_unbroken_smooth_stay(shipped: Truth) -> None:
    for rows in stays(shipped).values():
        indices = [index for index, _ in rows]
        assert indices == list(range(indices[0], indices[-1] + 1))
        boxes = np.array([row["box"] for _, row in rows])
        assert np.abs(np.diff(boxes, axis=0)).max() < 25


def test_everybody_leaves_and_comes_back_with_the_next_appearance(shipped: Truth) -> None:
    numbers: dict[int, list[tuple[int, int, int]]] = {}
    for (person, appearance), rows in stays(shipped).items():
        numbers.setdefault(person, []).append((rows[0][0], rows[-1][0], appearance))
    assert sorted(numbers) == [1, 2, 3]
    for visits in numbers.values():
        assert [appearance for _, _, appearance in sorted(visits)] == [1, 2]
        (_, left, _), (returned, _, _) = sorted(visits)
        assert returned - left > FPS


def test_faces_are_hidden_by_one_another_several_times_and_never_for_long(shipped: Truth) -> None:
    hidden: list[int] = []
    for rows in stays(shipped).values():
        x1, x2 = np.array([row["box"][::2] for _, row in rows]).T
        inside = (x1 >= 0) & (x2 <= SIZE_WH[0])
        low = inside & np.array([row["visible"] < 0.6 for _, row in rows])
        edges = np.flatnonzero(np.diff(np.concatenate([[0], low, [0]])))
        hidden += [b - a for a, b in edges.reshape(-1, 2)]
    assert len(hidden) >= 3
    assert max(hidden) <= 0.45 * FPS


def test_ages_follow_from_the_dates(shipped: Truth) -> None:
    for fact in shipped["people"]:
        born = date.fromisoformat(fact["born"])
        for day, age in zip(fact["photographed"], fact["age_range_years"], strict=True):
            day = date.fromisoformat(day)
            assert born.replace(year=born.year + age) <= day
            assert day < born.replace(year=born.year + age + 1)
        assert fact["age_range_years"][0] <= fact["age_years"] <= fact["age_range_years"][1]
    assert {fact["name"]: fact["age_years"] for fact in shipped["people"]} == {
        "Barack Obama": 51,
        "Joe Biden": 67,
        "Eileen Collins": 41.5,
    }


@pytest.mark.parametrize("time_s", [4.2, 8.9, 11.92, 13.8])
def test_visible_counts_the_pixels_that_nobody_nearer_covers(time_s: float) -> None:
    standing = poses(time_s)
    for rank, (pose, fraction) in enumerate(zip(standing, visibility(standing), strict=True)):
        x1, y1, x2, y2 = pose.box.round().astype(int)
        outlines = [p.place(p.person.outline).astype(np.float32) for p in standing[:rank]]
        free = [
            0 <= x < SIZE_WH[0]
            and all(
                cv2.pointPolygonTest(line, (float(x), float(y)), False) < 0 for line in outlines
            )
            for y in range(y1, y2, 2)
            for x in range(x1, x2, 2)
        ]
        assert np.mean(free) == pytest.approx(fraction, abs=0.03)


def test_nobody_changes_depth_while_covering_another() -> None:
    nearer: set[tuple[int, int]] = set()
    for index in range(FRAMES):
        spans = [
            (pose.person.id, x.min(), x.max())
            for pose in poses(index / FPS)
            for x in [pose.place(pose.person.outline)[:, 0]]
        ]
        touching = {
            (a, b)
            for rank, (a, a1, a2) in enumerate(spans)
            for b, b1, b2 in spans[rank + 1 :]
            if min(a2, b2) > max(a1, b1)
        }
        assert not any((b, a) in nearer for a, b in touching)
        nearer = touching


def test_box_and_landmarks_move_with_the_portrait() -> None:
    for pose in poses(8.0):
        x1, y1, x2, y2 = pose.person.face_box
        middle = pose.place(np.array([[(x1 + x2) / 2, (y1 + y2) / 2]]))[0]
        assert middle == pytest.approx([pose.x, pose.y])
        scale = pose.face_height / (y2 - y1)
        eyes = np.diff(pose.place(pose.person.landmarks)[:2], axis=0)
        assert np.linalg.norm(eyes) == pytest.approx(
            scale * np.linalg.norm(np.diff(pose.person.landmarks[:2], axis=0))
        )


def test_a_frame_does_not_depend_on_those_drawn_before() -> None:
    first = render(100)
    render(260)
    assert np.array_equal(render(100), first)


@pytest.mark.slow
def test_the_clip_shows_what_the_script_draws() -> None:
    assert video_differences(CLIP) == []


def test_every_portrait_is_there_and_holds_its_outline() -> None:
    for person in people().values():
        portrait = cv2.imread(str(HERE / "portraits" / person.file))
        assert portrait is not None
        height, width = portrait.shape[:2]
        assert person.outline.min() >= 0
        assert np.all(person.outline <= (width, height))
