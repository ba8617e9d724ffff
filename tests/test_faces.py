"""The library: the same as the programs, in five lines."""

import gc
import itertools
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

import faces
from errors import SourceError
from program.cameras import SAMPLE
from program.config import FLAGS, options_of
from stream import parse_arguments

ROOT = Path(__file__).resolve().parent.parent
SHORT = faces.Settings(max_frames=30)


@pytest.fixture(scope="module")
def results() -> list[faces.Result]:
    return list(faces.watch("sample", settings=faces.Settings(max_frames=60)))


def test_a_film_is_watched_to_its_end(results: list[faces.Result]) -> None:
    assert [result.index for result in results] == list(range(60))
    last = results[-1]
    (person,) = last.people
    assert (person.id, person.gender, last.camera) == (1, "male", "")
    assert person.age is not None and person.interval is not None
    assert 0 <= person.interval[0] < person.age < person.interval[1]
    assert person.samples > 5 and person.ethnicity is None
    x1, y1, x2, y2 = person.box
    assert 0 < x1 < x2 < last.picture.shape[1] and 0 < y1 < y2 < last.picture.shape[0]


def test_the_picture_is_the_frame_and_drawn_has_boxes(results: list[faces.Result]) -> None:
    last = results[-1]
    assert last.picture.shape == (540, 960, 3) and not last.picture.flags.writeable
    x1, y1, x2, y2 = (int(value) for value in last.people[0].box)
    changed = np.argwhere((last.drawn() != last.picture).any(2))
    assert changed[:, 1].min() < x1 + 10 and changed[:, 1].max() > x2 - 10
    untouched = last.drawn()[y1 + 30 : y2 - 30, x1 + 30 : x2 - 30]
    assert (untouched == last.picture[y1 + 30 : y2 - 30, x1 + 30 : x2 - 30]).all()


def test_arrays_paths_and_lists_are_described_alike(
    results: list[faces.Result], tmp_path: Path
) -> None:
    picture, path = results[-1].picture, tmp_path / "a.png"
    assert cv2.imwrite(str(path), picture)
    (alone,) = faces.describe(picture)
    assert faces.describe(path) == faces.describe(str(path)) == [alone]
    grey = np.full((200, 200, 3), 128, np.uint8)
    first, nobody, third = faces.describe([picture, grey, path])
    assert nobody == [] == faces.describe(grey) and faces.describe([]) == []
    assert first == third and first[0].box == alone.box
    assert first[0].age == pytest.approx(alone.age, abs=0.1)  # a batch rounds differently


def test_only_what_is_asked_for_is_reported(results: list[faces.Result]) -> None:
    picture = results[-1].picture
    (age_only,) = faces.describe(picture, faces.Settings(attributes=("age",)))
    assert age_only.age is not None and (age_only.gender, age_only.female_prob) == ("unsure", None)
    all_three = faces.Settings(attributes=("age", "gender", "ethnicity"))
    (person,) = faces.describe(picture, all_three)
    assert person.ethnicity is not None and sum(person.ethnicity.values()) == pytest.approx(1)


def test_several_threads_may_describe_and_share_one_watch(results: list[faces.Result]) -> None:
    picture = results[-1].picture
    alone = faces.describe(picture)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(faces.describe, [picture] * 6)) == [alone] * 6
        shared = faces.watch("sample", settings=SHORT)
        found = list(threads.map(lambda _: [result.index for result in shared], range(3)))
    assert sorted(itertools.chain(*found)) == list(range(30))


def test_a_watch_is_closed_by_with_by_close_and_when_it_is_forgotten() -> None:
    before = threading.active_count()
    with faces.watch("sample") as opened:
        next(opened)
    assert list(opened) == []
    closed = faces.watch("sample")
    closed.close()
    closed.close()
    forgotten = faces.watch("sample")
    next(forgotten)
    del forgotten
    gc.collect()
    assert threading.active_count() == before


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs signals")
def test_a_signals_handler_may_close_the_watch_that_it_interrupts() -> None:
    threads, watch = threading.active_count(), faces.watch("test:64x48,duration=1000")
    next(watch)
    before = signal.signal(signal.SIGALRM, lambda *_: watch.close())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        frames = sum(1 for _ in watch)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert frames < 24_999 and list(watch) == []
    assert threading.active_count() == threads


def test_cameras_of_several_sources_have_names() -> None:
    sources = ("test:64x48@10,duration=1", "door=test:64x48@10,duration=1")
    names = {result.camera for result in faces.watch(*sources)}
    assert names == {"test:64x48@10,duration=1", "door"}


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ((), "watch() has no source"),
        (("",), "has no name"),
        (("nowhere.mp4",), "nowhere.mp4: no such file"),
        ((Path("nowhere=1.mp4"),), "nowhere=1.mp4: no such file"),
        (("a=sample", "a=sample"), "2 cameras are called a"),
    ],
)
def test_nothing_to_watch_is_one_exception(sources: tuple[Any, ...], words: str) -> None:
    with pytest.raises(SourceError) as caught:
        faces.watch(*sources)
    assert words in str(caught.value) and isinstance(caught.value, faces.Error)


@pytest.mark.parametrize(
    "image",
    [None, 3, b"", np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8),
     np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)],
)  # fmt: skip
def test_what_is_no_image_is_a_value_error(image: Any) -> None:
    with pytest.raises(ValueError, match="want \\(H, W, 3\\) uint8 BGR"):
        faces.describe([image])


def test_a_path_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(faces.Error, match=r"none\.jpg"):
        faces.describe(tmp_path / "none.jpg")


def test_settings_are_flags_with_the_same_defaults_and_checks() -> None:
    usual = vars(parse_arguments(["--src", "sample"]))
    assert {each.name for each in fields(faces.Settings)} <= set(FLAGS)
    ours = vars(faces.Settings().options())
    assert {name: usual[name] for name in ours if name != "src"} == {
        name: value for name, value in ours.items() if name != "src"
    }
    blurred = faces.Settings(blur=True, min_face=30, attributes=("age",)).options()
    flags = ["--blur", "--min-face=30", "--attributes=age", "--src=sample"]
    asked = vars(parse_arguments(flags))
    assert {name: asked[name] for name in vars(blurred) if name != "src"} == {
        name: value for name, value in vars(blurred).items() if name != "src"
    }


def test_attributes_may_be_a_list(results: list[faces.Result]) -> None:
    asked: Any = ["age"]
    settings = faces.Settings(attributes=asked)
    assert settings == faces.Settings(attributes=("age",))
    (person, *_) = faces.describe(results[-1].picture, settings)
    assert person.age is not None and person.female_prob is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"min_face": 3}, "min-face: want a number of at least 20, got '3'"),
        ({"detector": "yolo"}, "detector: invalid choice"),
        ({"attributes": ("hair",)}, "want a list out of age"),
        ({"keep_trying": "yes"}, "want true or false"),
    ],
)
def test_a_setting_that_no_flag_takes_is_a_value_error(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        faces.Settings(**values)


def test_live_ethnicity_needs_a_purpose_here_too() -> None:
    asked = faces.Settings(attributes=("ethnicity",))
    with pytest.raises(SourceError, match="lawful-purpose"):
        faces.watch("rtsp://127.0.0.1:9/none", settings=asked)
    assert options_of({"lawful_purpose": "a study"}).lawful_purpose == "a study"


def test_people_become_detections_of_supervision(
    results: list[faces.Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        import supervision
    except ModuleNotFoundError:
        supervision = ModuleType("supervision")
        supervision.__dict__["Detections"] = SimpleNamespace  # takes the same names
        monkeypatch.setitem(sys.modules, "supervision", supervision)
    found = results[-1].to_supervision()
    assert found.xyxy.shape == (1, 4) and found.xyxy.dtype == np.float32
    assert found.class_id.tolist() == [0] and found.tracker_id.tolist() == [1]
    assert found.data["gender"].tolist() == ["male"]
    assert found.data["age_low"] < found.data["age"] < found.data["age_high"]
    nobody = faces.to_supervision([])
    assert nobody.xyxy.shape == (0, 4) and nobody.data["age"].shape == (0,)
    unknown = faces.to_supervision([faces.Person(7, (0.0, 0.0, 1.0, 1.0))])
    assert np.isnan(unknown.data["age"]).all()


def test_a_film_given_by_its_path_is_the_same(results: list[faces.Result]) -> None:
    again = list(faces.watch(SAMPLE, settings=SHORT))
    assert [result.people for result in again] == [result.people for result in results[:30]]


def test_importing_the_library_is_quick() -> None:
    """In an installation it comes before the programs, which handle Ctrl-C from then on."""
    code = "import sys, faces; print(sorted({'numpy', 'cv2', 'program'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
