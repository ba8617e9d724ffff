"""What stream.py does with a film batch.py does, too, whole and in slices."""

import csv
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import stream
from tests.archives import QUICK, make_film, records_of, run_batch, scene, visible
from tests.clips import write_clip
from tests.recordings import flashes_and_clicks, write_clicks

BOTH = pytest.mark.parametrize("seconds", ["0", "1"])  # of slices, 0 = none


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Jobs change how many threads OpenCV uses."""
    threads = cv2.getNumThreads()
    yield
    cv2.setNumThreads(threads)


def people_of(path: Path) -> list[dict[str, str]]:
    """The table of people without times of the clock."""
    rows = csv.DictReader(path.read_text().splitlines())
    return [{k: v for k, v in row.items() if not k.endswith("utc")} for row in rows]


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--detect-every", "3"],
        ["--blur"],
        ["--blur", "strict"],
        ["--min-hits", "1", "--max-age", "3"],
    ],
)
def test_a_film_gives_the_same_events_and_people_as_in_stream(
    flags: list[str], tmp_path: Path
) -> None:
    film, events, people = (tmp_path / name for name in ("film.mp4", "s.jsonl", "s.csv"))
    make_film(film, 90)
    outputs = ["--no-window", "--events", str(events), "--people", str(people)]
    quick = stream.Factories(assembly=QUICK)
    assert stream.main(["--src", str(film), *outputs, *flags], quick) == 0
    assert run_batch(film, "--out", tmp_path / "out", "--slice", "0", *flags) == 0
    for kind in ("frame", "person"):
        mine = records_of(tmp_path / "out" / "film.jsonl", kind)
        assert mine == records_of(events, kind)
        assert mine
    assert people_of(tmp_path / "out" / "film.csv") == people_of(people) != []


@pytest.mark.slow
def test_the_sample_gives_the_same_events_and_people_as_in_stream(tmp_path: Path) -> None:
    """With the networks, searched by one thread in the one and by several in the other."""
    events, people = tmp_path / "s.jsonl", tmp_path / "s.csv"
    sample = Path(__file__).resolve().parent.parent / "samples" / "sample.mp4"
    outputs = ["--no-window", "--events", str(events), "--people", str(people)]
    assert stream.main(["--src", str(sample), *outputs]) == 0
    command = [sample, "--out", tmp_path / "out", "--slice", "0", "--no-video", "--threads", "1"]
    assert run_batch(*command, assemble=stream.USUAL.assembly) == 0
    assert records_of(tmp_path / "out" / "sample.jsonl") == records_of(events)
    assert people_of(tmp_path / "out" / "sample.csv") == people_of(people)


PATTERN = np.where(np.indices((120, 160)).sum(0) // 2 % 2, 150, 250).astype(np.uint8)[..., None]


def checked(index: int) -> np.ndarray:
    """The scene with a fine pattern on each square."""
    picture = scene(index)
    squares = picture > 120
    return np.where(squares, PATTERN, picture)


def roughness(path: Path) -> list[float]:
    """Of each frame, how much its brightest places differ from pixel to pixel, in grey levels."""
    with av.open(str(path)) as container:
        images = [f.to_ndarray(format="gray").astype(float) for f in container.decode(video=0)]
    return [float(np.abs(np.diff(image[10:34], n=2, axis=1)).mean()) for image in images]


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("privacy", [["--anonymous"], ["--blur", "strict"]])
def test_faces_are_hidden_in_every_frame(privacy: list[str], seconds: str, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    write_clip(film, [checked(i) for i in range(80)])
    shown = ["--slice", seconds, "--attributes", "age"]
    assert run_batch(film, "--out", tmp_path / "open", *shown) == 0
    assert run_batch(film, "--out", tmp_path / "hidden", *shown, *privacy) == 0
    open_, hidden = (roughness(tmp_path / name / "film.mp4") for name in ("open", "hidden"))
    assert len(open_) == len(hidden) == 80
    assert max(hidden) < 0.5 * min(open_)


@BOTH
def test_an_anonymous_archive_reports_groups_only(
    seconds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, out = write_clicks(tmp_path / "film.mp4", seconds=4), tmp_path / "out"
    assert run_batch(film, "--out", out, "--slice", seconds, "--anonymous") == 0
    assert visible(out) == ["film.jsonl", "film.mp4"]
    assert records_of(out / "film.jsonl", "frame") == records_of(out / "film.jsonl", "person") == []
    assert len(records_of(out / "film.jsonl", "aggregate")) == 1
    with av.open(str(out / "film.mp4")) as container:
        assert not container.streams.audio
    assert run_batch(film, "--out", out, "--slice", seconds, "--anonymous") == 0
    assert "done before" in capsys.readouterr().out
    assert run_batch(film, "--out", out, "--slice", seconds) == 0
    assert visible(out) == ["film.csv", "film.jsonl", "film.mp4"]


@BOTH
def test_the_sound_of_a_film_is_kept_in_its_place(seconds: str, tmp_path: Path) -> None:
    film, out = write_clicks(tmp_path / "film.mp4", seconds=4), tmp_path / "out"
    assert run_batch(film, "--out", out, "--slice", seconds) == 0
    flashes, clicks = flashes_and_clicks(out / "film.mp4")
    assert len(flashes) == len(clicks) == 3
    np.testing.assert_allclose(clicks, flashes, atol=0.03)


def test_films_that_are_not_there_do_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "films", tmp_path / "out"
    make_film(folder / "good.mp4", 5)
    long_name = "x" * 251 + ".mp4"
    make_film(tmp_path / "copy.mp4", 6).rename(folder / long_name)
    (folder / "lost.mp4").symlink_to("gone.mp4")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    assert run_batch(folder, "--out", out, "--no-video") == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    failed = [line.split()[0] for line in captured.out.splitlines() if "failed: " in line]
    assert sorted(failed) == ["loop", "lost"]
    assert sum("5 frames" in line or "6 frames" in line for line in captured.out.splitlines()) == 2
    assert visible(out) == sorted(
        f"{name}{suffix}" for name in ("good", "x" * 200) for suffix in (".csv", ".jsonl")
    )
    assert run_batch(folder, "--out", out, "--no-video") == 1
    assert capsys.readouterr().out.count("done before") == 2


def test_a_name_that_is_too_long_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_batch("x" * 300, "--out", tmp_path / "out") == 2
    assert "too long" in capsys.readouterr().err
