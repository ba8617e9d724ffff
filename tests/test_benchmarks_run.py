"""Measuring programs from outside, and what is made of the figures."""

import json
import sys
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks import comparison, run
from benchmarks.agreed_faces import Found, Reference
from benchmarks.alternatives import setup
from benchmarks.common import SAMPLE, BenchmarkError
from benchmarks.comparison import ClipResult
from benchmarks.measure import Run, boxes_of, measure
from benchmarks.systems import System, events_command, watch

FAKE = """
import json, sys, time
print("noise", file=sys.stderr)
for index in range(4):
    tracks = [{"box": [index, 0, 10, 10]}] * index
    print(json.dumps({"type": "frame", "tracks": tracks}), flush=True)
    print(json.dumps({"type": "person", "id": 1}), flush=True)
sys.exit(%d)
"""


def fake(code: int = 0) -> list[str]:
    return [sys.executable, "-c", FAKE % code]


def fake_that_waits(held_mb: int = 0) -> list[str]:
    """One that holds so much once, and lives on until Ctrl-C, so that it can be looked at."""
    listens = "import signal, sys\nsignal.signal(signal.SIGINT, lambda *_: sys.exit(0))"
    frames = (FAKE % 0).replace("sys.exit(0)", "time.sleep(60)")
    return [sys.executable, "-c", f"{listens}\nb'x' * {held_mb}_000_000\n{frames}"]


def a_run(frames: int = 3, seconds: float = 1.0, box: Sequence[float] = (0, 0, 10, 10)) -> Run:
    return Run(0.5, seconds, 0.1, 200.0, [np.array([box], np.float32)] * frames)


def a_system(
    name: str, runs: Sequence[Run], ours: bool = False, lines: int | None = None
) -> System:
    script = iter(runs)
    return System(name, name.title(), ours, lambda clip: next(script), lines)


def test_a_program_is_measured_by_the_lines_it_prints_about_frames() -> None:
    measured = measure(fake_that_waits(), frames=4)
    assert [len(frame) for frame in measured.boxes] == [0, 1, 2, 3]
    assert measured.boxes[2].tolist() == [[2, 0, 10, 10]] * 2
    assert measured.start_s > 0
    assert measured.seconds > 0
    assert measured.cpu_s >= 0
    assert measured.peak_mb > 1
    assert measured.fps == pytest.approx(3 / measured.seconds)


def test_the_memory_of_a_program_is_its_own_and_not_that_of_who_measures() -> None:
    held = np.ones(50_000_000, np.float32)  # 200 MB
    little, much = (measure(fake_that_waits(mb), frames=4).peak_mb for mb in (0, 250))
    assert little < held.nbytes / 1e6 < much


def test_a_program_that_waits_for_ctrl_c_after_its_frames_gets_it() -> None:
    assert len(measure(fake_that_waits(), frames=4).boxes) == 4


def test_a_program_that_fails_or_does_no_frames_is_named_with_what_it_said() -> None:
    with pytest.raises(BenchmarkError, match=r"exit code 3 \(noise\)"):
        measure(fake(3))
    with pytest.raises(BenchmarkError, match="0 frames"):
        measure([sys.executable, "-c", ""])
    with pytest.raises(BenchmarkError, match="check the command"):
        measure(["/no/such/program"])


def test_where_memory_cannot_be_read_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.measure._PROCESSES", tmp_path)
    with pytest.raises(BenchmarkError, match=r"where memory is read; run this on Linux$"):
        measure(fake())


@pytest.mark.parametrize("line", [b"hello\n", b"{}\n", b"[1]\n", b'{"tracks": [{"box": [1]}]}'])
def test_a_line_that_is_not_about_a_frame_is_shown(line: bytes) -> None:
    with pytest.raises(BenchmarkError, match="not a line about a frame"):
        boxes_of(line)


def test_systems_take_turns_round_by_round() -> None:
    order: list[tuple[str, str]] = []

    def playing(name: str) -> Callable[[Path], Run]:
        def play(clip: Path) -> Run:
            order.append((clip.stem, name))
            return a_run()

        return play

    systems = [System(name, name, False, playing(name)) for name in "ab"]
    runs = run.compare([Path("x"), Path("y")], systems, 2)
    assert order == [("x", "a"), ("x", "b"), ("y", "a"), ("y", "b")] * 2
    assert len(runs[Path("y")]["b"]) == 2


def results() -> list[ClipResult]:
    reference = Reference((1000, 360), [[np.array([[0, 0, 10, 10]], np.float32)]] * 3)
    systems = [
        a_system("ours", [a_run(3, 1.0), a_run(3, 0.5)], ours=True),
        a_system("twice", [a_run(3, 1.0, (0, 0, 20, 20))], lines=720),
        a_system("blind", [a_run(2, 4.0, (90, 90, 99, 99))]),
    ]
    runs = {s.name: [s.run(Path("c")) for _ in range(2 - (not s.ours))] for s in systems}
    return [run.summarize(Path("crowd.mp4"), systems, runs, reference)]


def test_faces_are_compared_on_the_frames_that_all_have_and_in_pixels_of_the_clip() -> None:
    ours, twice, blind = results()[0].rows
    assert ours.common == Found(2, 2, 0, 2)
    assert ours.whole == Found(3, 3, 0, 3)
    assert ours.fps == [2, 4]
    assert twice.common == ours.common
    assert blind.common == Found(0, 2, 2, 2)


def test_the_table_has_a_row_for_each_system_with_medians_and_spreads() -> None:
    made = results()
    made[0].stages_ms = {"decode": 1.5}
    table = comparison.markdown(made)
    assert "**crowd**, 1000x360: 2 faces in the first 2 frames" in table
    assert "| **Ours** | 3 | 3.0 (2.0-4.0) | 50 | 200 | 0.5 | 100 % | 0 | 100 % |" in table
    assert "| Blind | 2 | 0.25 (0.25-0.25) | 100 | 200 | 0.5 | 0 % | 2 | 0 % |" in table
    assert "| crowd | 1.5 |" in table
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows[:5]}) == 1


def test_a_line_of_history_holds_everything_that_the_table_needs(tmp_path: Path) -> None:
    path = tmp_path / "new" / "history.jsonl"
    for _ in range(2):
        comparison.append(path, comparison.record(results(), {"repeat": 2}, (0.1, 0.2, 0.3)))
    first, last = map(json.loads, path.read_text().splitlines())
    assert first.keys() == last.keys() >= {"utc", "commit", "cpu", "cores", "versions", "options"}
    assert last["versions"]["mtcnn_keras"]
    assert comparison.markdown(comparison.from_record(last)) == comparison.markdown(results())
    assert comparison.markdown(run.last_results(path)) == comparison.markdown(results())


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_plot_starts_at_nought_and_is_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"plot{suffix}"
    comparison.plot(results(), path, ["ours", "blind"])
    assert path.stat().st_size > 3000
    comparison.plot(results(), path, ["a system that was not measured"])


@pytest.mark.parametrize("panels", [1, 2, 3])
def test_the_first_system_is_on_top_however_many_clips_there_are(
    tmp_path: Path, panels: int
) -> None:
    path = tmp_path / "plot.png"
    comparison.plot(results() * panels, path, ["ours", "blind"])
    drawn = np.asarray(cv2.imread(str(path)), int)  # (H, W, 3)
    blue, green, red = np.moveaxis(drawn, 2, 0)
    ours = (abs(red - 0x0B) < 4) & (abs(green - 0x72) < 4) & (abs(blue - 0x85) < 4)
    others = (abs(red - 0xAD) < 4) & (abs(green - 0xB5) < 4) & (abs(blue - 0xBD) < 4)
    rows_of = [np.flatnonzero(each.sum(axis=1) > 10) for each in (ours, others)]
    assert rows_of[0].max() < rows_of[1].min()


def test_bad_input_is_one_line_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for arguments, cause in (
        (["nowhere.mp4"], "no such clip; check the path"),
        (["--alternatives", "facenet"], "run: python -m benchmarks.alternatives.setup"),
        (["--again", "--out", str(tmp_path)], "run without --again"),
    ):
        assert run.main(arguments) == 2
        said = capsys.readouterr().err
        assert cause in said
        assert said.count("\n") == 1
    assert setup.main(["facenet"]) == 2
    assert "known: age_gender_dlib" in capsys.readouterr().err


def test_an_environment_is_ready_only_while_its_requirements_are_those_of_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = setup.NAMES[0]
    folder = tmp_path / "faces-benchmarks" / "environments" / name
    with pytest.raises(BenchmarkError, match="is not made"):
        setup.interpreter(name)
    folder.mkdir(parents=True)
    marker = folder / "requirements.txt"
    marker.write_bytes(setup.requirements(name).read_bytes())
    assert setup.interpreter(name) == folder / "bin" / "python"
    marker.write_text("numpy==1.0")
    with pytest.raises(BenchmarkError, match=f"setup {name}"):
        setup.interpreter(name)


class Page(BaseHTTPRequestHandler):
    """Serves one part of a stream of pictures, or nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"picture" if self.path == "/stream" else b"")

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def test_a_page_counts_as_watched_only_where_images_came() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        watch(f"{address}/stream")
        with pytest.raises(BenchmarkError, match="no image came"):
            watch(f"{address}/empty", patience_s=0.2)
        server.shutdown()


@pytest.mark.slow
def test_this_program_is_measured_on_the_bundled_clip() -> None:
    measured = measure(events_command(SAMPLE, 60))
    assert len(measured.boxes) == 60
    assert sum(map(len, measured.boxes)) > 20
