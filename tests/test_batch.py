import csv
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import batch
from archive import jobs
from archive.jobs import Outcome, Stopped, run_job
from archive.running import choose_slice_s
from archive.workers import LocalWorkers
from structures import Detections
from tests.clips import write_clip
from tests.fakes import FIVE_POINTS, ConstantEstimator, grey
from tracking.boxes import iou_matrix

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "samples" / "sample.mp4"


class BrightSquares:
    """A detector of bright squares: the same picture gives the same boxes, in any order."""

    landmark_template = FIVE_POINTS
    starting_score = 0.8
    confident_score = 0.9

    def detect_near(self, image, boxes) -> Detections:
        found = self.detect(image)
        rows = (iou_matrix(found.boxes, boxes) > 0).any(1)
        return Detections(found.boxes[rows], found.scores[rows], found.landmarks[rows])

    def detect(self, image, coarse=1.0) -> Detections:
        mask = (image[..., 0] > 120).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        found = [(x, y, x + w, y + h) for x, y, w, h, area in stats[1:].tolist() if area > 50]
        boxes = np.array(found, np.float32).reshape(-1, 4)
        points = boxes[:, None, :2] + (boxes[:, None, 2:] - boxes[:, None, :2]) * FIVE_POINTS
        return Detections(boxes, np.full(len(boxes), 0.99, np.float32), points)


class OneWorker:
    """Does each job at once, in the test's own process; Ctrl-C comes after so many frames."""

    count = 2
    ctrl_c_after: int | None = None

    def __init__(self, *_) -> None:
        self.counted = 0
        self.stopped = False

    def submit(self, job, *arguments) -> Future:
        future: Future = Future()
        if self.stopped:
            future.cancel()
        else:
            future.set_result(run_job(Told(self), job, arguments))
        return future

    def count_frames(self, frames: int) -> None:
        self.counted += frames
        if self.ctrl_c_after is not None and self.counted > self.ctrl_c_after:
            self.stopped = True
            raise Stopped

    def cancel(self, future) -> None:
        future.cancel()

    def frames(self) -> int:
        if self.stopped:
            raise KeyboardInterrupt
        return self.counted

    def stop(self) -> None:
        pass

    close = stop


class Told:
    """The progress that `OneWorker` hands to its jobs."""

    def __init__(self, worker) -> None:
        self._worker = worker

    def count(self, frames: int = 1) -> None:
        self._worker.count_frames(frames)

    def flush(self) -> None:
        pass


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch):
    """Quick stages, and workers that are this very process."""
    jobs.load_models.cache_clear()
    monkeypatch.setattr(jobs, "make_detector", lambda *_: BrightSquares())
    monkeypatch.setattr(jobs, "make_estimator", lambda *_: ConstantEstimator())
    monkeypatch.setattr(batch, "LocalWorkers", OneWorker)
    monkeypatch.setattr(OneWorker, "ctrl_c_after", None)
    threads = cv2.getNumThreads()
    yield
    cv2.setNumThreads(threads)
    jobs.load_models.cache_clear()


def scene(index: int) -> np.ndarray:
    """Two squares that cross, one above the other, and a third that comes later."""
    picture = grey(20, (160, 120))
    moved = index * 3 // 4
    places = [(10 + moved, 10), (130 - moved, 60)] + ([(70, 90)] if index >= 60 else [])
    for x, y in places:
        picture[y : y + 24, x : x + 24] = 200
    return picture


def make_film(path: Path, frames: int = 160) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    return write_clip(path, [scene(i) for i in range(frames)])


def run_main(*arguments: object) -> int:
    """The exit code of batch.py, however it ends."""
    try:
        return batch.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code)


def events_of(path: Path) -> list[dict]:
    records = (json.loads(line) for line in path.read_text().splitlines())
    events = [record for record in records if record["type"] == "frame"]
    for event in events:
        del event["utc"], event["run"]
    return events


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_slices_give_what_the_whole_film_gives(
    here, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = make_film(tmp_path / "film.mp4")
    assert run_main(film, "--out", tmp_path / "whole", "--slice", "0") == 0
    assert run_main(film, "--out", tmp_path / "cut", "--slice", "1") == 0
    whole, cut = (events_of(tmp_path / name / "film.jsonl") for name in ("whole", "cut"))
    assert [e["index"] for e in cut] == [e["index"] for e in whole] == list(range(160))
    pairs = set()
    for one, other in zip(whole, cut, strict=True):
        assert one["time_s"] == other["time_s"]
        boxes = [[t["box"] for t in event["tracks"]] for event in (one, other)]
        overlap = iou_matrix(*boxes)
        assert overlap.shape[0] == overlap.shape[1]
        for row, track in enumerate(one["tracks"]):
            same = other["tracks"][overlap[row].argmax()]
            assert overlap[row].max() > 0.9
            assert same["age_years"] == track["age_years"]
            pairs.add((track["id"], same["id"]))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == 3
    rows = list(csv.DictReader((tmp_path / "cut" / "film.csv").read_text().splitlines()))
    assert [int(row["frames"]) for row in rows].count(160) == 2
    with av.open(str(tmp_path / "cut" / "film.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert np.allclose(times, [event["time_s"] for event in whole], atol=2e-5)
    assert capsys.readouterr().out.count("160 frames") == 2


def test_a_bad_file_among_good_ones_costs_one_line(
    here, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "films"
    make_film(folder / "good.mp4", 5)
    make_film(folder / "deep" / "er" / "good.mkv", 5)
    (folder / "text.mp4").write_text("this is text\n" * 100)
    (folder / "empty.mp4").touch()
    (folder / "notes.txt").write_text("no film")
    assert run_main(folder, "--out", tmp_path / "out", "--no-video") == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert len(lines) == 4
    assert sum("failed: " in line for line in lines) == 2
    assert sum("5 frames" in line and "2 people" in line for line in lines) == 2
    assert visible(tmp_path / "out") == ["good.csv", "good.jsonl", "good_2.csv", "good_2.jsonl"]


def test_a_finished_film_is_skipped_until_it_or_the_options_change(
    here, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, out = make_film(tmp_path / "film.mp4", 5), tmp_path / "out"
    assert run_main(film, "--out", out) == 0
    first = (out / "film.jsonl").read_bytes()
    assert run_main(film, "--out", out) == 0
    assert "done before" in capsys.readouterr().out
    assert (out / "film.jsonl").read_bytes() == first
    assert run_main(film, "--out", out, "--detect-every", "2") == 0
    assert "done before" not in capsys.readouterr().out
    (out / "film.csv").unlink()
    assert run_main(film, "--out", out, "--detect-every", "2") == 0
    assert (out / "film.csv").exists()
    make_film(film, 7)
    assert run_main(film, "--out", out, "--detect-every", "2") == 0
    assert len(events_of(out / "film.jsonl")) == 7


def test_names_stay_when_films_are_added_and_nothing_foreign_is_overwritten(
    here, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    second = make_film(tmp_path / "b" / "film.mp4", 3)
    assert run_main(second, "--out", out, "--no-video") == 0
    make_film(tmp_path / "a" / "film.mp4", 4)
    (out / "other.csv").write_text("mine")
    make_film(tmp_path / "a" / "other.mp4", 2)
    assert run_main(tmp_path / "*" / "*.mp4", "--out", out, "--no-video") == 0
    assert {name: len(events_of(out / f"{name}.jsonl")) for name in ("film", "film_2")} == {
        "film": 3,
        "film_2": 4,
    }
    assert (out / "other.csv").read_text() == "mine"
    assert len(events_of(out / "other_2.jsonl")) == 2


def test_ctrl_c_leaves_nothing_half_done_and_finished_slices_are_used(
    here, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    film, out = make_film(tmp_path / "film.mp4", 240), tmp_path / "out"
    short = make_film(tmp_path / "short.mp4", 5)
    command = [film, short, "--out", out, "--slice", "1"]
    monkeypatch.setattr(OneWorker, "ctrl_c_after", 200)
    assert run_main(*command) == 130
    assert "give the same command again" in capsys.readouterr().err
    assert visible(out) == ["short.csv", "short.jsonl", "short.mp4"]
    monkeypatch.setattr(OneWorker, "ctrl_c_after", None)
    looked = []
    detect = BrightSquares.detect
    monkeypatch.setattr(
        BrightSquares, "detect", lambda self, image, *_: (looked.append(1), detect(self, image))[1]
    )
    assert run_main(*command) == 0
    assert len(events_of(out / "film.jsonl")) == 240
    assert len(looked) < 200, "the first slice was there already"
    assert visible(out) == sorted(
        f"{name}.{kind}" for name in ("film", "short") for kind in ("csv", "jsonl", "mp4")
    )
    assert not [path for path in (out / ".batch").iterdir() if path.is_dir()]


def test_a_film_whose_size_changes_is_recorded_in_parts_also_from_slices(
    here, tmp_path: Path
) -> None:
    film = tmp_path / "film.mkv"
    settings = {"codec": "mjpeg", "pixels": "yuvj420p"}
    halves = [write_clip(tmp_path / "1.mkv", [scene(i) for i in range(60)], **settings)]
    large = [cv2.resize(scene(i), (320, 240)) for i in range(60, 120)]
    halves.append(write_clip(tmp_path / "2.mkv", large, **settings))
    with av.open(str(film), "w") as whole:
        for number, half in enumerate(halves):
            with av.open(str(half)) as part:
                if number == 0:
                    stream = whole.add_stream_from_template(part.streams.video[0])
                for packet in part.demux(video=0):
                    if packet.dts is not None:
                        packet.pts = packet.dts = packet.pts + number * 2400
                        packet.stream = stream
                        whole.mux(packet)
    for seconds in ("0", "1"):
        out = tmp_path / seconds
        assert run_main(film, "--out", out, "--slice", seconds) == 0
        assert visible(out) == ["film.csv", "film.jsonl", "film.mp4", "film.part2.mp4"]
        for name, size in {"film.mp4": (160, 120), "film.part2.mp4": (320, 240)}.items():
            with av.open(str(out / name)) as container:
                frames = list(container.decode(video=0))
            assert {(frame.width, frame.height) for frame in frames} == {size}
            assert len(frames) == 60
        assert [e["epoch"] for e in events_of(out / "film.jsonl")] == [0] * 60 + [1] * 60


@pytest.mark.parametrize("seconds", ["0", "1"])
def test_a_film_that_cannot_be_recorded_is_told_and_nothing_of_it_is_published(
    seconds: str, here, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = [np.zeros((16, 16400, 3), np.uint8)] * 120  # more than H.264 can hold
    film = write_clip(tmp_path / "wide.mkv", wide, codec="mjpeg", pixels="yuvj420p")
    assert run_main(film, "--out", tmp_path / "out", "--slice", seconds) == 1
    told = capsys.readouterr().out
    assert "cannot be written" in told and "Traceback" not in told
    assert visible(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{tmp}/nowhere.mp4"], "nowhere.mp4"),
        (["{tmp}/nothing"], "no films"),
        (["{tmp}/nothing/*.mp4"], "no films"),
        (["{tmp}/film.mp4", "--workers", "0"], "got '0'"),
        (["{tmp}/film.mp4", "--slice", "-1"], "got '-1'"),
        (["{tmp}/film.mp4", "--out", "{tmp}"], "another folder"),
        (["{tmp}/film.mp4", "--out", "{tmp}/film.mp4/out"], "film.mp4"),
        (["{tmp}/film.mp4", "--ray", "127.0.0.1:1", "--workers", "2"], "--workers"),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(
    arguments, words: str, here, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nothing").mkdir()
    make_film(tmp_path / "film.mp4", 2)
    filled = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    before = sorted(tmp_path.rglob("*"))
    assert run_main("--out", tmp_path / "out", *filled) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert words in line
    assert sorted(tmp_path.rglob("*")) == before, "something was left behind"


def test_two_runs_do_not_write_into_one_folder(
    here, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = make_film(tmp_path / "film.mp4", 2)
    batch.make_folder(tmp_path / "out")
    with batch.sole_user(tmp_path / "out"):
        assert run_main(film, "--out", tmp_path / "out") == 2
    assert "another run" in capsys.readouterr().err


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_its_remedy_is_told(
    here, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = make_film(tmp_path / "film.mp4", 2)
    assert run_main(film, "--out", tmp_path / "out", "--ray", "local") == 2
    assert "requirements-batch.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "workers", "expected"),
    [([7200], 8, 300), ([120], 8, 60), ([36000], 4, 600), ([600] * 100, 4, 600), ([7200], 1, 0)],
)
def test_slices_are_as_long_as_keeping_everybody_busy_allows(
    seconds, workers: int, expected: int
) -> None:
    assert choose_slice_s(seconds, workers) == expected


def die(progress) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def answer(progress, number: int) -> int:
    progress.count(number)
    return number


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_own_job_only() -> None:
    workers = LocalWorkers(2)
    futures = [workers.submit(answer, 1), workers.submit(die)]
    futures += [workers.submit(answer, n) for n in (2, 3, 4)]
    outcomes: list[Outcome] = [future.result(timeout=120) for future in futures]
    assert [outcome.value for outcome in outcomes] == [1, None, 2, 3, 4]
    assert "killed" in outcomes[1].error
    assert workers.frames() == 10
    workers.close()


def sample_copies(folder: Path, number: int) -> Path:
    folder.mkdir()
    for i in range(number):
        (folder / f"copy{i}.mp4").write_bytes(SAMPLE.read_bytes())
    return folder


@pytest.mark.slow
def test_ctrl_c_stops_real_workers_and_the_next_run_goes_on(tmp_path: Path) -> None:
    films, out = sample_copies(tmp_path / "films", 3), tmp_path / "out"
    command = [sys.executable, "batch.py", films, "--out", out, "--workers", "2", "--slice", "5"]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(out.glob(".batch/*/seen-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it, too
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.count("\n") == 1, error
    assert {p.suffix for p in out.iterdir() if p.is_file()} <= {".mp4", ".jsonl", ".csv"}
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.count("450 frames") == 3
    assert len(visible(out)) == 9


def check_sample(folder: Path, whole: Path) -> None:
    """Compare the sample annotated in slices with the sample annotated whole."""
    pairs, ages, lost = set(), [], 0
    one, other = events_of(whole / "sample.jsonl"), events_of(folder / "sample.jsonl")
    for a, b in zip(one, other, strict=True):
        assert (a["index"], a["time_s"]) == (b["index"], b["time_s"])
        seen = [track for track in a["tracks"] if track["detected"]]
        overlap = iou_matrix([t["box"] for t in seen], [t["box"] for t in b["tracks"]])
        for row, track in enumerate(seen):
            if not b["tracks"] or overlap[row].max() < 0.7:
                lost += 1
                continue
            same = b["tracks"][overlap[row].argmax()]
            assert same["gender"] == track["gender"]
            ages.append(abs(same["age_years"] - track["age_years"]))
            pairs.add((track["id"], same["id"]))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == 6
    # A search near a face begins where it was before: history that slices cut off.
    assert lost <= 0.01 * len(ages)
    assert max(ages) < 3
    assert np.mean(ages) < 0.5
    with (
        av.open(str(whole / "sample.mp4")) as a,
        av.open(str(folder / "sample.mp4")) as b,
    ):
        for x, y in zip(a.decode(video=0), b.decode(video=0), strict=True):
            assert x.time == y.time
            greys = (frame.to_ndarray(format="gray").astype(int) for frame in (x, y))
            assert np.abs(np.subtract(*greys)).mean() < 4


@pytest.fixture(scope="module")
def whole_sample(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("whole")
    command = [sys.executable, "batch.py", SAMPLE, "--out", folder, "--slice", "0"]
    subprocess.run([*command, "--workers", "1"], cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_the_sample_in_slices_equals_the_sample_as_a_whole(whole_sample, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "batch", SAMPLE, "--out", tmp_path, "--slice", "5"]
    subprocess.run([*command, "--workers", "2"], cwd=ROOT, check=True, capture_output=True)
    check_sample(tmp_path, whole_sample)


@pytest.mark.slow
def test_ray_gives_what_the_workers_of_this_machine_give(whole_sample, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed: see requirements-batch.txt")
    command = [sys.executable, "batch.py", SAMPLE, "--out", tmp_path, "--slice", "5"]
    done = subprocess.run(
        [*command, "--ray", "local", "--workers", "2"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "450 frames" in done.stdout
    check_sample(tmp_path, whole_sample)
