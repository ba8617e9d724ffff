import csv
import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

import batch
from archive.films import keep, make_folder, plan_outputs, sole_user
from archive.jobs import Outcome, look_at
from archive.running import choose_slice_s
from errors import SinkError
from tests.archives import (
    BrightSquares,
    OneWorker,
    make_film,
    records_of,
    run_batch,
    scene,
    visible,
)
from tests.clips import write_clip
from tracking.boxes import iou_matrix

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "samples" / "sample.mp4"


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Jobs change how many threads OpenCV uses."""
    threads = cv2.getNumThreads()
    yield
    cv2.setNumThreads(threads)


@pytest.mark.slow
def test_slices_give_what_the_whole_film_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = make_film(tmp_path / "film.mp4")
    assert run_batch(film, "--out", tmp_path / "whole", "--slice", "0") == 0
    assert run_batch(film, "--out", tmp_path / "cut", "--slice", "1") == 0
    whole, cut = (records_of(tmp_path / name / "film.jsonl") for name in ("whole", "cut"))
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
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "films"
    make_film(folder / "good.mp4", 5)
    make_film(folder / "deep" / "er" / "good.mkv", 5)
    (folder / "text.mp4").write_text("this is text\n" * 100)
    (folder / "empty.mp4").touch()
    (folder / "notes.txt").write_text("no film")
    assert run_batch(folder, "--out", tmp_path / "out", "--no-video") == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert len(lines) == 4
    assert sum("failed: " in line for line in lines) == 2
    assert sum("5 frames" in line and "2 people" in line for line in lines) == 2
    assert visible(tmp_path / "out") == ["good.csv", "good.jsonl", "good_2.csv", "good_2.jsonl"]


def test_a_finished_film_is_skipped_until_it_or_the_options_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, out = make_film(tmp_path / "film.mp4", 5), tmp_path / "out"
    assert run_batch(film, "--out", out) == 0
    first = (out / "film.jsonl").read_bytes()
    assert run_batch(film, "--out", out) == 0
    assert "done before" in capsys.readouterr().out
    assert (out / "film.jsonl").read_bytes() == first
    assert run_batch(film, "--out", out, "--detect-every", "2") == 0
    assert "done before" not in capsys.readouterr().out
    (out / "film.csv").unlink()
    assert run_batch(film, "--out", out, "--detect-every", "2") == 0
    assert (out / "film.csv").exists()
    make_film(film, 7)
    assert run_batch(film, "--out", out, "--detect-every", "2") == 0
    assert len(records_of(out / "film.jsonl")) == 7


def test_a_film_is_made_again_where_what_is_drawn_on_it_or_told_of_it_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, weights = make_film(tmp_path / "film.mp4", 3), tmp_path / "my.keras"
    weights.write_bytes(b"one")
    command = (film, "--out", tmp_path / "out", "--weights", weights)

    def again(*flags: str) -> bool:
        assert run_batch(*command, *flags) == 0
        return "done before" not in capsys.readouterr().out

    assert again() and not again()
    assert again("--labels", "none") and not again("--labels", "none")
    weights.write_bytes(b"others")
    assert again("--labels", "none")
    assert again("--lawful-purpose", "they agreed")
    (run, *_) = map(json.loads, (tmp_path / "out" / "film.jsonl").read_text().splitlines())
    assert run["lawful_purpose"] == "they agreed"
    assert again("--no-video", "--lawful-purpose", "they agreed")
    assert not again("--no-video", "--lawful-purpose", "they agreed", "--labels", "none")


def test_a_film_may_have_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (films := tmp_path / "films").mkdir()
    names = ["lock", "unfinished", "x", "x.json", "\udcff"]  # the last is no UTF-8
    for name in names:
        make_film(tmp_path / "film.mp4", 3).rename(films / f"{name}.mp4")
    assert run_batch(films, "--out", tmp_path / "out", "--no-video") == 0
    assert capsys.readouterr().out.count("3 frames") == 5
    assert visible(tmp_path / "out") == sorted(
        f"{name}.{kind}" for name in names for kind in ("csv", "jsonl")
    )


def test_a_signal_that_kills_the_workers_too_stops_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Killed(OneWorker):
        def submit(self, job: Callable[..., Any], *arguments: Any) -> "Future[Outcome]":
            future: Future[Outcome] = Future()
            future.set_result(Outcome(error="its worker was killed"))
            if job is look_at:
                signal.raise_signal(signal.SIGTERM)
            return future

    film = make_film(tmp_path / "film.mp4", 3)
    assert batch.main([str(film), "--out", str(tmp_path / "out")], Killed) == 130
    assert "rerun the command to resume" in capsys.readouterr().err


def test_names_stay_when_films_are_added_and_nothing_foreign_is_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    second = make_film(tmp_path / "b" / "film.mp4", 3)
    assert run_batch(second, "--out", out, "--no-video") == 0
    make_film(tmp_path / "a" / "film.mp4", 4)
    (out / "other.csv").write_text("mine")
    make_film(tmp_path / "a" / "other.mp4", 2)
    assert run_batch(tmp_path / "*" / "*.mp4", "--out", out, "--no-video") == 0
    assert {name: len(records_of(out / f"{name}.jsonl")) for name in ("film", "film_2")} == {
        "film": 3,
        "film_2": 4,
    }
    assert (out / "other.csv").read_text() == "mine"
    assert len(records_of(out / "other_2.jsonl")) == 2


def test_a_link_to_an_output_is_not_replaced_by_what_is_made_of_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    film, output = tmp_path / "films" / "a.mp4", out / "a.mp4"
    film.parent.mkdir()
    make_folder(out)
    film.write_bytes(b"a film")
    keep(plan_outputs([film], out, {})[0])
    film.rename(output)
    film.symlink_to(output)
    with pytest.raises(SinkError, match="is the source itself"):
        plan_outputs([film], out, {})


def test_ctrl_c_leaves_nothing_half_done_and_finished_slices_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, out = make_film(tmp_path / "film.mp4", 240), tmp_path / "out"
    short = make_film(tmp_path / "short.mp4", 5)
    command = [film, short, "--out", out, "--slice", "1"]
    assert run_batch(*command, ctrl_c_after=200) == 130
    assert "rerun the command to resume" in capsys.readouterr().err
    assert visible(out) == ["short.csv", "short.jsonl", "short.mp4"]
    before = BrightSquares.searched
    assert run_batch(*command, "--detect-every", "auto") == 0
    assert len(records_of(out / "film.jsonl")) == 240
    assert BrightSquares.searched - before < 35, "the first slice was there already"
    assert visible(out) == sorted(
        f"{name}.{kind}" for name in ("film", "short") for kind in ("csv", "jsonl", "mp4")
    )
    assert list((out / ".batch" / "unfinished").iterdir()) == []


@pytest.mark.slow
def test_a_film_whose_size_changes_is_recorded_in_parts_also_from_slices(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    write = partial(write_clip, codec="mjpeg", pixels="yuvj420p")
    halves = [write(tmp_path / "1.mkv", [scene(i) for i in range(60)])]
    large = [cv2.resize(scene(i), (320, 240)) for i in range(60, 120)]
    halves.append(write(tmp_path / "2.mkv", large))
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
        assert run_batch(film, "--out", out, "--slice", seconds) == 0
        assert visible(out) == ["film.csv", "film.jsonl", "film.mp4", "film.part2.mp4"]
        for name, size in {"film.mp4": (160, 120), "film.part2.mp4": (320, 240)}.items():
            with av.open(str(out / name)) as container:
                frames = list(container.decode(video=0))
            assert {(frame.width, frame.height) for frame in frames} == {size}
            assert len(frames) == 60
        assert [e["epoch"] for e in records_of(out / "film.jsonl")] == [0] * 60 + [1] * 60


@pytest.mark.parametrize("seconds", ["0", "1"])
def test_a_film_that_cannot_be_recorded_is_reported_and_nothing_of_it_is_published(
    seconds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = [np.zeros((16, 16400, 3), np.uint8)] * 120  # more than H.264 can hold
    film = write_clip(tmp_path / "wide.mkv", wide, codec="mjpeg", pixels="yuvj420p")
    assert run_batch(film, "--out", tmp_path / "out", "--slice", seconds) == 1
    reported = capsys.readouterr().out
    assert "cannot be written" in reported and "Traceback" not in reported
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
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nothing").mkdir()
    make_film(tmp_path / "film.mp4", 2)
    filled = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    before = sorted(tmp_path.rglob("*"))
    assert run_batch("--out", tmp_path / "out", *filled) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert words in line
    assert sorted(tmp_path.rglob("*")) == before, "something was left behind"


def test_two_runs_do_not_write_into_one_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = make_film(tmp_path / "film.mp4", 2)
    make_folder(tmp_path / "out")
    with sole_user(tmp_path / "out"):
        assert run_batch(film, "--out", tmp_path / "out") == 2
    assert "another run" in capsys.readouterr().err


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_its_remedy_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = make_film(tmp_path / "film.mp4", 2)
    assert run_batch(film, "--out", tmp_path / "out", "--ray", "local") == 2
    assert "pip install '.[ray]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "workers", "expected"),
    [([7200], 8, 300), ([120], 8, 60), ([36000], 4, 600), ([600] * 100, 4, 600), ([7200], 1, 0)],
)
def test_slices_are_as_long_as_keeping_everybody_busy_allows(
    seconds: list[float], workers: int, expected: int
) -> None:
    assert choose_slice_s(seconds, workers) == expected
