"""The whole program on whole clips, against what is known to be in them."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import stream
from program.cameras import SAMPLE
from sources import Source
from sources.open import open_source
from structures import Frame
from tracking.boxes import iou_matrix

pytestmark = pytest.mark.slow

TRUTH = json.loads(SAMPLE.with_suffix(".json").read_text())
AGE_TOLERANCE_YEARS = 9  # of the default network for people of 50: 8.8 years on average (UTKFace)


Events = list[dict[str, Any]]
Appearance = tuple[str, int]


def events_of(folder: Path, *arguments: str) -> Events:
    path = folder / "events.jsonl"
    assert stream.main([*arguments, "--no-window", "--events", str(path)]) == 0
    records = (json.loads(line) for line in path.read_text().splitlines())
    return [record for record in records if record["type"] == "frame"]


def owners(events: Events) -> tuple[dict[Appearance, Counter[int]], dict[Appearance, list[int]]]:
    """Which ids lie on which appearance of a person, and which ids are shown on nobody.

    Returns:
        (person, appearance) -> Counter of ids, over the faces that are mostly visible;
        (person, appearance) -> [frames on which a face so visible has a box, frames].
    """
    ids: dict[Appearance, Counter[int]] = defaultdict(Counter)
    found: dict[Appearance, list[int]] = defaultdict(lambda: [0, 0])
    for truth, event in zip(TRUTH["frames"], events, strict=True):
        visible = [person for person in truth["people"] if person["visible"] > 0.7]
        boxes = [track["box"] for track in event["tracks"]]
        overlap = iou_matrix([person["box"] for person in visible], boxes)
        for row, person in enumerate(visible):
            key = person["name"], person["appearance"]
            found[key][1] += 1
            if boxes and overlap[row].max() > 0.5:
                found[key][0] += 1
                ids[key][event["tracks"][overlap[row].argmax()]["id"]] += 1
    return ids, found


@pytest.fixture(scope="module")
def sample_events(tmp_path_factory: pytest.TempPathFactory) -> Events:
    return events_of(tmp_path_factory.mktemp("sample"), "--src", "sample")


@pytest.mark.parametrize("detect_every", ["auto", "1", "5"])
def test_each_appearance_has_one_id_and_nobody_takes_anothers(
    detect_every: str, sample_events: Events, tmp_path: Path
) -> None:
    events = sample_events
    if detect_every != "auto":
        events = events_of(tmp_path, "--src", "sample", "--detect-every", detect_every)
    ids, _ = owners(events)
    assert len(ids) == 6
    main_ids = []
    for counter in ids.values():
        (main, frames), *others = counter.most_common()
        main_ids.append(main)
        assert sum(n for _, n in others) <= 0.03 * frames, ids
    assert len(set(main_ids)) == 6, ids


def test_boxes_sit_on_the_faces_of_the_sample(sample_events: Events) -> None:
    _, found = owners(sample_events)
    with_box, frames = np.sum(list(found.values()), axis=0)
    assert with_box >= 0.97 * frames


def test_gender_and_age_of_the_portraits_are_right_and_steady(sample_events: Events) -> None:
    ids, _ = owners(sample_events)
    truth = {person["name"]: person for person in TRUTH["people"]}
    for (name, _), counter in ids.items():
        track_id = counter.most_common(1)[0][0]
        shown = [t for e in sample_events for t in e["tracks"] if t["id"] == track_id]
        genders = [track["gender"] for track in shown if track["gender"] != "unsure"]
        assert set(genders) == {truth[name]["gender"]}
        assert len(genders) > 0.7 * len(shown)
        ages = np.array([track["age_years"] for track in shown])
        steps = np.diff(np.round(ages))
        turns = np.count_nonzero(np.diff(np.sign(steps[steps != 0])))
        assert turns <= 1 + len(ages) / 50, "the age goes up and down"
        assert abs(ages[-1] - truth[name]["age_years"]) <= AGE_TOLERANCE_YEARS


@pytest.mark.data
def test_people_without_frontal_faces_are_hardly_ever_taken_for_faces(
    data_dir: Path, tmp_path: Path
) -> None:
    events = events_of(tmp_path, "--src", str(data_dir / "clips" / "no_frontal_faces.mp4"))
    ids = {track["id"] for event in events for track in event["tracks"]}
    assert len(ids) < len(events) / 100


@pytest.mark.data
def test_people_who_cross_keep_their_ids(data_dir: Path, tmp_path: Path) -> None:
    events = events_of(tmp_path, "--src", str(data_dir / "clips" / "people_crossing.mp4"))
    frames_of = Counter(track["id"] for event in events for track in event["tracks"])
    assert len(frames_of) <= 12  # ten people come close enough to be found
    assert sum(n for _, n in frames_of.most_common(10)) > 0.95 * sum(frames_of.values())


@pytest.mark.data
def test_memory_stays_flat_over_a_long_film(data_dir: Path, tmp_path: Path) -> None:
    resident_mb = []

    class Watched:
        """A source that notes how much memory the program has at two of its frames."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._inner: Source = open_source(*arguments, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def seek(self, time_s: float) -> bool:
            return False

        def take(self, timeout_s: float | None = None) -> Frame | None:
            frame = self._inner.take(timeout_s)
            if frame is not None and frame.index in (200, 4799):
                resident_mb.append(psutil.Process().memory_info().rss / 2**20)
            return frame

    clip, events = data_dir / "clips" / "talking_head_long.mp4", tmp_path / "events.jsonl"
    run = ["--src", str(clip), "--no-window", "--events", str(events)]
    assert stream.main(run, stream.Factories(source=Watched)) == 0
    assert resident_mb[1] - resident_mb[0] < 30
