"""What `--events-full` kept of a film gives the same results again, without a network."""

import csv
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import stream
from outputs.full_events import FullEventsWriter, is_full_events
from outputs.recording.sink import Recording
from stream import Factories
from structures import Detections, Estimates, Float32, Frame, FrameResult, Image, RawValues
from tests.assemblies import scripted
from tests.fakes import ConstantEstimator, ScriptedDetector
from tests.recordings import grey, read, shot

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = json.loads((ROOT / "docs" / "events-full.schema.json").read_text())
FRAMES = 60
WALL_CLOCK = ("run", "utc", "fps", "first_seen_utc", "last_seen_utc")


class ByLevel(ScriptedDetector):
    """Finds faces by the grey level of the frame, so that any thread finds the same.

    One moves on and is away for a while, one is weak at times, and one is found by searches of
    the whole image only.
    """

    def __init__(self) -> None:
        super().__init__([])

    def detect(self, image: Image, coarse: float = 1.0) -> Detections:
        found = self.detect_near(image, np.zeros((0, 4), np.float32))
        if image.mean() < 80:
            return found
        extra = np.array([[200, 90, 250, 150]], np.float32)
        boxes = np.concatenate([found.boxes, extra])
        scores = np.append(found.scores, np.float32(0.81))
        return Detections(boxes, scores, self._found(boxes).landmarks)

    def detect_near(self, image: Image, boxes: Float32) -> Detections:
        level = float(image.mean())
        noise = np.random.default_rng(round(level / 7)).normal(0, 0.7, (2, 4))
        faces = np.array([[20 + level / 3, 30, 70 + level / 3, 90], [130, 20, 180, 80]]) + noise
        found = self._found(faces.astype(np.float32))
        scores = np.array([0.99, 0.95 if level < 90 else 0.4], np.float32)
        there = [0, 1] if level < 150 else [1]
        return Detections(found.boxes[there], scores[there], found.landmarks[there])


class ByChip(ConstantEstimator):
    """Says what depends on the chip and on nothing else."""

    has_ethnicity = True

    def estimate(self, chips: Image) -> Estimates:
        level = chips.mean(axis=(1, 2, 3)).astype(np.float32)
        shares = np.array([[0.1, 0.2, 0.3, 0.3, 0.1]], np.float32)
        ethnicity = shares * (level[:, None] / np.float32(255))
        return Estimates(20 + level / 7, 4 + level / 90, np.sin(level) ** 2, ethnicity)


NETWORKS = Factories(assembly=scripted(ByLevel, ByChip))


class Refusing(ScriptedDetector):
    def __init__(self) -> None:
        raise AssertionError("a network was made")


NONE_AT_ALL = Factories(assembly=scripted(Refusing))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    checks = (np.indices((180, 320)) // 6).sum(0) % 2 * 24 - 12  # something to hide
    recording = Recording(path, 25)
    for index in range(FRAMES):
        image = (grey(index) + np.repeat(checks[..., None], 3, 2)).astype(np.uint8)
        recording.write(image, FrameResult(Frame(image, index, index / 25)))
    recording.close()
    return path


@pytest.fixture(scope="module")
def recorded(film: Path) -> bytes:
    """What is recorded of the film with the usual settings."""
    path = film.with_name("recorded.jsonl")
    assert run(film, "--events-full", path) == 0
    return path.read_bytes()


@pytest.fixture
def full(recorded: bytes, tmp_path: Path) -> Path:
    """A file of it."""
    path = tmp_path / "full.jsonl"
    path.write_bytes(recorded)
    return path


def run(film: Path | str, *arguments: Path | str, factories: Factories = NETWORKS) -> int:
    """The exit code of stream.py, however it ends."""
    words = ["--src", str(film), "--no-window", *map(str, arguments)]
    try:
        return stream.main(words, factories)
    except SystemExit as end:
        return int(end.code or 0)


def told(folder: Path) -> tuple[list[Any], list[Any], list[Any]]:
    """Records, rows and pictures of a run, without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / "e.jsonl").read_text().splitlines()]
    # On a busy machine the film's end may be told before the program's.
    records = [each for each in lines if each.get("source", {}).get("state") != "ended"]
    rows = list(csv.DictReader((folder / "p.csv").read_text().splitlines()))
    for each in (*records, *rows):
        for name in WALL_CLOCK:
            each.pop(name, None)
    pictures = [frame.to_ndarray(format="bgr24").tobytes() for frame in read(folder / "o.mp4")]
    return records, rows, pictures


def outputs(folder: Path) -> list[Path | str]:
    folder.mkdir()
    files = zip(("--events", "--people", "--output"), ("e.jsonl", "p.csv", "o.mp4"), strict=True)
    return [word for option, name in files for word in (option, folder / name)]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ([], "full.jsonl"),
        pytest.param(["--blur", "--attention"], "full.jsonl", marks=pytest.mark.slow),
        pytest.param(
            ["--detect-every", "3", "--max-age", "5"], "full.jsonl", marks=pytest.mark.slow
        ),
        (["--attributes", "age,ethnicity", "--min-hits", "1", "--max-frames", "40"], "f.jsonl.gz"),
    ],
)
def test_the_same_settings_give_the_same_without_a_network(
    settings: list[str], name: str, film: Path, tmp_path: Path
) -> None:
    full, then, now = tmp_path / name, tmp_path / "then", tmp_path / "now"
    assert run(film, "--events-full", full, *settings, *outputs(then)) == 0
    again = ["--replay", full, *settings, *outputs(now)]
    assert run(film, *again, factories=NONE_AT_ALL) == 0
    assert told(now) == told(then)
    assert len({track["id"] for each in told(now)[0] for track in each.get("tracks", [])}) > 1


@pytest.mark.parametrize(
    "settings",
    [
        ["--max-age", "2"],
        pytest.param(["--min-hits", "8"], marks=pytest.mark.slow),
        pytest.param(["--min-hits", "1"], marks=pytest.mark.slow),
    ],
)
def test_faces_are_followed_with_other_settings_as_if_searched_for_again(
    settings: list[str], film: Path, tmp_path: Path
) -> None:
    full, direct, again, usual = (tmp_path / name for name in ("f.jsonl", "d", "a", "u"))
    assert run(film, "--detect-every", "1", "--events-full", full, *outputs(usual)) == 0
    assert run(film, "--detect-every", "1", *settings, *outputs(direct)) == 0
    assert run(film, "--replay", full, *settings, *outputs(again), factories=NONE_AT_ALL) == 0
    where = [
        [[(track["id"], track["box"]) for track in each.get("tracks", [])] for each in told(f)[0]]
        for f in (direct, again, usual)
    ]
    assert where[0] == where[1] != where[2]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(["--labels", "none"], marks=pytest.mark.slow),
        pytest.param(["--blur"], marks=pytest.mark.slow),
        ["--blur", "strict"],
        pytest.param(["--anonymous"], marks=pytest.mark.slow),
    ],
)
def test_pictures_are_drawn_with_other_settings_as_if_filmed_again(
    settings: list[str], film: Path, tmp_path: Path
) -> None:
    full, every = tmp_path / "f.jsonl", ["--detect-every", "1"]
    videos = [tmp_path / f"{name}.mp4" for name in ("direct", "again", "usual")]
    assert run(film, *every, "--events-full", full, "--output", videos[2]) == 0
    assert run(film, *every, *settings, "--output", videos[0]) == 0
    replay = ["--replay", str(full), *settings, "--output", str(videos[1])]
    assert run(film, *replay, factories=NONE_AT_ALL) == 0
    seen = [[f.to_ndarray(format="bgr24").tobytes() for f in read(video)] for video in videos]
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [[], ["--blur"], ["--detector", "dlib"]])
def test_the_real_networks_of_the_sample_are_replayed_to_the_last_digit(
    settings: list[str], tmp_path: Path
) -> None:
    full, then, now = tmp_path / "full.jsonl", tmp_path / "then", tmp_path / "now"
    film = ["sample", "--max-frames", "100", *settings]
    assert run(*film, "--events-full", full, *outputs(then), factories=stream.USUAL) == 0
    assert run(*film, "--replay", full, *outputs(now), factories=NONE_AT_ALL) == 0
    assert told(now) == told(then)


def test_every_line_is_what_the_schema_says_and_none_holds_an_embedding(full: Path) -> None:
    lines = [json.loads(line) for line in full.read_text().splitlines()]
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for line in lines:
        validator.validate(line)
    assert [line["type"] for line in lines] == ["film", *["raw"] * FRAMES, "end"]
    faces = [face for line in lines[1:-1] for face in line["faces"]]
    assert {name for face in faces for name in face} == {"box", "score", "landmarks", "estimate"}
    assert min(face["score"] for face in faces) < ScriptedDetector.starting_score
    assert {line["searched"] for line in lines[1:-1]} == {True, False}


class OnFullDisk(FullEventsWriter):
    """Writes to a disk that has no room."""

    def _open(self) -> Any:
        return Path("/dev/full").open("wb")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_costs_the_rest_of_the_record_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = OnFullDisk(tmp_path / "full.jsonl", {"type": "film", "run": "a"})
    for index in range(3):
        result = shot(index, index / 25)[1]
        writer.write(None, replace(result, raw=RawValues(Detections.empty(), True)))
    writer.close()
    assert "space" in str(writer.failed)
    assert caplog.text.count("everything else continues") == 1


def test_neither_openvino_nor_tensorflow_nor_dlib_is_imported(full: Path, film: Path) -> None:
    code = (
        "import sys, stream;"
        f"arguments = ['--src', {str(film)!r}, '--no-window', '--replay', {str(full)!r}];"
        "assert stream.main(arguments) == 0;"
        "networks = {'openvino', 'onnxruntime', 'tensorflow', 'keras', 'dlib', '_dlib_pybind11'};"
        "assert not networks & set(sys.modules), networks & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "people in 2 s" in done.stderr


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that was said; a progress bar is none."""
    lines = [x for x in capsys.readouterr().err.splitlines() if x and "frame" not in x[-20:]]
    (line,) = lines
    return line


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--detector", "dlib"], "recorded with --detector mtcnn"),
        (["--min-face", "24"], "recorded with --min-face 40"),
        (["--detect-every", "4"], "recorded with --detect-every auto"),
        (["--estimator", "ssrnet"], "recorded with --estimator dlibresnet"),
        (["--weights", "ssrnet_fairface"], "recorded with --weights dlibresnet_fairface"),
        (["--attributes", "ethnicity"], "holds no ethnicity"),
        (["--remember", "5m"], "leave one out"),
        (["--events-full", "x.jsonl"], "leave one out"),
    ],
)
def test_what_a_replay_cannot_change_is_refused_with_the_remedy(
    flags: list[str], words: str, film: Path, full: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(film, "--replay", full, *flags, factories=NONE_AT_ALL) == 2
    assert words in one_line(capsys)


def test_what_was_recorded_with_may_be_said_again(film: Path, full: Path) -> None:
    same = ["--detector", "mtcnn", "--weights", "dlibresnet_fairface", "--detect-every", "auto"]
    assert run(film, "--replay", full, *same, factories=NONE_AT_ALL) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--src", "test:64x48,duration=1"], "one film"),
        (["--src", "{film}", "--src", "{film}"], "one film"),
        (["--src", "chaos:{film}?freeze=1@2"], "one film"),
        (["--src", "{film}", "--anonymous"], "--anonymous"),
        (["--src", "{film}", "--events-full", ""], "is empty"),
        (["--src", "{film}", "--events-full", "{film}.txt"], ".jsonl, .gz"),
        (["--src", "{film}", "--events-full", "-"], ".jsonl, .gz"),
        (["--src", "{film}", "--events", "{tmp}/full.jsonl"], "same file"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_anything_is_written(
    arguments: list[str],
    words: str,
    film: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [each.format(film=film, tmp=tmp_path) for each in arguments]
    full = ["--no-window", "--events-full", str(tmp_path / "full.jsonl")]
    try:
        code = stream.main([*full, *filled], NETWORKS)
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2 and words in one_line(capsys)
    assert not list(tmp_path.iterdir())


Lines = list[bytes]


def of_another_run(line: bytes) -> bytes:
    return json.dumps(json.loads(line) | {"run": "0" * 16}).encode() + b"\n"


def changed(line: bytes, **values: object) -> bytes:
    return json.dumps(json.loads(line) | values).encode() + b"\n"


SPOILT: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "empty": (lambda x: [], "not written by --events-full"),
    "text": (lambda x: [b"this is text\n"], "not written by --events-full"),
    "no header": (lambda x: x[1:], "not written by --events-full"),
    "only a header": (lambda x: x[:1], "holds no frame"),
    "another schema": (lambda x: [changed(x[0], schema=2), *x[1:]], "another schema than 1"),
    "no settings": (lambda x: [changed(x[0], settings={}), *x[1:]], "damaged in its first line"),
    "settings are text": (lambda x: [changed(x[0], settings="a"), *x[1:]], "damaged in its first"),
    "settings that steer the terminal": (
        lambda x: [changed(x[0], settings=dict.fromkeys(json.loads(x[0])["settings"], "\n\x1b"))],
        "damaged in its first",
    ),
    "settings are numbers": (
        lambda x: [changed(x[0], settings=dict.fromkeys(json.loads(x[0])["settings"], 7))],
        "damaged in its first",
    ),
    "a name that steers the terminal": (
        lambda x: [changed(x[0], film={"name": "\x1b[2J", "size_wh": [1, 1], "fingerprint": ""})],
        "damaged in its first",
    ),
    "a film of no size": (
        lambda x: [changed(x[0], film={"name": "", "size_wh": 9, "fingerprint": ""})],
        "damaged in its first",
    ),
    "a score is none": (lambda x: [changed(x[0], starting_score="x"), *x[1:]], "damaged in its"),
    "another film": (
        lambda x: [changed(x[0], film={"name": "b.mp4", "size_wh": [9, 7], "fingerprint": ""})],
        "another film (b.mp4, 9x7)",
    ),
    "two runs, one after the other": (lambda x: x + [of_another_run(y) for y in x], "two runs"),
    "the same twice": (lambda x: x + x, "two runs"),
    "two runs, mixed": (lambda x: [x[0], x[1], of_another_run(x[2]), *x[2:]], "two runs"),
    "a line is missing": (lambda x: x[:5] + x[6:], "for frame 4 is of another one"),
    "a box of three": (lambda x: [*x[:5], changed(x[5], faces=[{"box": [1, 2, 3]}])], "frame 4"),
    "a face without a box": (lambda x: [*x[:5], changed(x[5], faces=[{}])], "not understood"),
    "no list of faces": (lambda x: [*x[:5], changed(x[5], faces=7)], "not understood"),
    "a huge number": (
        lambda x: [*x[:5], changed(x[5], faces=[{"box": [0, 0, 1, 10**400]}])],
        "not understood",
    ),
    "no number": (
        lambda x: [*x[:5], changed(x[5], faces=[{"box": [0, 0, 1, None]}])],
        "not understood",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPOILT)
def test_a_file_that_is_no_such_recording_gives_one_line_and_exit_code_2(
    kind: str, film: Path, full: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, words = SPOILT[kind]
    full.write_bytes(b"".join(spoil(full.read_bytes().splitlines(keepends=True))))
    capsys.readouterr()
    assert run(film, "--replay", full, factories=NONE_AT_ALL) == 2
    line = one_line(capsys)
    assert words in line and str(full) in line


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("at", [0.3, 0.6, 0.97])
def test_what_was_cut_off_is_replayed_up_to_there(
    at: float,
    packed: bool,
    film: Path,
    full: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = full.read_bytes()
    data = gzip.compress(data) if packed else data
    full.write_bytes(data[: int(at * len(data))])
    events = tmp_path / "e.jsonl"
    assert run(film, "--replay", full, "--events", events, factories=NONE_AT_ALL) == 0
    frames = events.read_text().count('"type":"frame"')
    assert 0 < frames < FRAMES or at > 0.9
    assert caplog.text.count("replayed up to there") == 1


@pytest.mark.parametrize(("most", "warned"), [([], 1), (["--max-frames", "20"], 0)])
def test_a_film_that_goes_on_where_the_recording_ends_is_warned_of(
    most: list[str], warned: int, film: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full, events = tmp_path / "full.jsonl", tmp_path / "e.jsonl"
    assert run(film, "--events-full", full, "--max-frames", "20") == 0
    again = ["--replay", str(full), "--events", str(events), *most]
    assert run(film, *again, factories=NONE_AT_ALL) == 0
    assert events.read_text().count('"type":"frame"') == 20
    assert caplog.text.count("has no more frames: replayed up to there") == warned


def test_what_was_recorded_with_remember_counts_people_again_and_says_so(
    film: Path, full: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, *rest = full.read_bytes().splitlines(keepends=True)
    settings = json.loads(first)["settings"] | {"remember": 60.0}
    full.write_bytes(b"".join([changed(first, settings=settings), *rest]))
    assert run(film, "--replay", full, factories=NONE_AT_ALL) == 0
    assert caplog.text.count("recognises nobody") == 1


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_what_is_no_file_is_refused(
    kind: str, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "full.jsonl"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    assert run(film, "--replay", path, factories=NONE_AT_ALL) == 2
    assert str(path) in one_line(capsys)


def test_an_earlier_file_is_replaced_and_one_of_others_is_not(
    film: Path, full: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed, other = tmp_path / "full.jsonl.gz", tmp_path / "other.jsonl"
    for path in (full, packed):
        assert run(film, "--events-full", path) == run(film, "--events-full", path) == 0
        assert is_full_events(path)
    other.write_text('{"schema":2}\n')
    assert run(film, "--events-full", other) == 2
    assert other.read_text() == '{"schema":2}\n'
    assert run(film, "--replay", full, "--events", full, factories=NONE_AT_ALL) == 2
    assert is_full_events(full)


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        ([], ["--blur"], "record it with --blur to"),
        (["--blur"], ["--blur"], ""),
        (["--blur"], ["--blur", "strict"], "record it with --blur strict to"),
        (["--blur", "strict"], ["--blur"], ""),
    ],
)
def test_hiding_faces_on_what_was_searched_now_and_then_is_warned_of(
    then: list[str],
    now: list[str],
    words: str,
    film: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    full = tmp_path / "full.jsonl"
    assert run(film, "--events-full", full, *then) == 0
    assert run(film, "--replay", full, *now, factories=NONE_AT_ALL) == 0
    assert words in caplog.text and bool(words) == bool(caplog.text)
