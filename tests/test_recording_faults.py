"""Recordings whose process is killed or interrupted, and those on full or broken disks."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.recordings import (
    ROOT,
    boxes,
    flashes_and_clicks,
    grey,
    level,
    levels,
    names,
    read,
    record,
    run_child,
    write_clicks,
)

KILLED = """
import sys, time
from tests.recordings import Recording, shot
path, seconds, pace, nominal, live = sys.argv[1], *map(float, sys.argv[2:])
recording = Recording(path, nominal, live=bool(live))
for index in range(round(seconds * pace)):
    recording.write(*shot(index, index / pace))
    time.sleep(1 / pace if live else 0.005)
print("written", flush=True)
sys.stdin.read()
"""


def kill_while_recording(path: Path, *arguments: object) -> list[Any]:
    """Return what is left of a recording whose process is killed the moment the last was given."""
    command = [sys.executable, "-c", KILLED, str(path), *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None and child.stdout.readline() == "written\n"
        child.send_signal(signal.SIGKILL)
    return read(path)


@pytest.mark.parametrize(
    ("suffix", "seconds", "pace", "nominal", "live"),
    [
        (".mp4", 3, 25, 25, 0),
        pytest.param(".mkv", 3, 25, 25, 0, marks=pytest.mark.slow),
        pytest.param(".mp4", 2, 25, 25, 1, marks=pytest.mark.slow),
        (".mkv", 2, 25, 25, 1),
        pytest.param(".mp4", 3, 5, 25, 1, marks=pytest.mark.slow),
    ],
)
def test_a_killed_process_loses_less_than_a_second_at_whatever_pace(
    tmp_path: Path, suffix: str, seconds: int, pace: int, nominal: int, live: int
) -> None:
    frames = kill_while_recording(tmp_path / f"out{suffix}", seconds, pace, nominal, live)
    lost = seconds * pace - len(frames)
    assert 0 <= lost < pace
    expected = [grey(i) for i in range(len(frames))]
    assert [level(f) for f in frames] == pytest.approx(expected, abs=3)
    assert frames[-1].time == pytest.approx((len(frames) - 1) / pace, abs=0.001)


INTERRUPTED = """
import signal, sys, threading
from tests.recordings import Recording, shot
import numpy as np
recording = Recording(sys.argv[1], 25, preset="placebo", crf=0)
noise = np.random.default_rng(0).integers(0, 256, (540, 960, 3), np.uint8)
for index in range(16):
    recording.write(np.roll(noise, 7 * index), shot(index, index / 25)[1])
main = threading.main_thread().ident
threading.Timer(0.03, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
try:
    recording.close()
except KeyboardInterrupt:
    print("interrupted")
recording.close()
"""


@pytest.mark.slow
def test_ctrl_c_while_it_is_closed_leaves_the_file_as_it_is_and_the_process_ends(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.mp4"
    done = run_child(INTERRUPTED, path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")
    assert len(read(path)) > 3 and "moof" in boxes(path)  # in fragments: not finished
    assert names(tmp_path) == [path.name]


FULL = """
import logging, resource, sys, time
from tests.recordings import Recording, shot
import numpy as np
logging.basicConfig(format="%(message)s")
path, live, segment_s, limit = sys.argv[1], *map(int, sys.argv[2:])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
recording = Recording(path, 25, live=bool(live), segment_s=segment_s or None)
noise = np.random.default_rng(0).integers(0, 256, (8, 90, 160, 3), np.uint8)
for index in range(300):
    recording.write(noise[index % 8], shot(index, index / 25)[1])
    time.sleep(0.01 * live)
assert not recording.closed
recording.close()
print(recording.failed)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
@pytest.mark.parametrize("suffix", [".mp4", pytest.param(".mkv", marks=pytest.mark.slow)])
@pytest.mark.parametrize("live", [0, 1])
def test_a_file_that_cannot_grow_is_reported_once_and_plays_while_all_else_continues(
    tmp_path: Path, suffix: str, live: int
) -> None:
    path = tmp_path / f"out{suffix}"
    done = run_child(FULL, path, live, 0, 200_000)
    problem = f"{path}: cannot be written: File too large"
    assert (done.returncode, done.stdout) == (0, problem + "\n"), done.stderr
    logged = [line for line in done.stderr.splitlines() if "left out" not in line]
    assert logged == [f"{problem}; the recording stops there, everything else continues"]
    assert len(read(path)) > 5
    assert names(tmp_path) == [path.name]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of one and a half megabytes."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = Path(tempfile.mkdtemp())
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("this root may not mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_is_reported_once_and_leaves_files_that_play(small_disk: Path) -> None:
    done = run_child(FULL, small_disk / "out.mp4", 0, 2, 0)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("cannot be written: No space left on device\n")
    assert done.stderr.count("the recording stops there") == 1
    assert len(read(small_disk / "out-001.mp4")) > 5


def test_after_a_failure_the_next_file_is_tried_when_its_time_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "out-002.mp4").mkdir()  # in the way
    times = [index / 25 for index in range(100)]
    recording = record(tmp_path / "out.mp4", times, segment_s=1)
    assert "out-002.mp4: is a folder" in str(recording.failed)
    assert caplog.text.count("the recording stops there, everything else continues") == 1
    assert names(tmp_path) == [f"out-00{number}.mp4" for number in (1, 2, 3, 4)]
    for number in (1, 3, 4):
        indices = range(25 * number - 25, 25 * number)
        path = tmp_path / f"out-00{number}.mp4"
        assert levels(path) == pytest.approx([grey(i) for i in indices], abs=3)


def test_a_film_is_never_overwritten_by_a_part_of_its_own_recording(tmp_path: Path) -> None:
    film = write_clicks(tmp_path / "out-002.mp4")
    before = film.read_bytes()
    times = [index / 25 for index in range(50)]
    recording = record(tmp_path / "out.mp4", times, segment_s=1, inputs=[film])
    assert "is the source itself" in str(recording.failed)
    assert film.read_bytes() == before


ONE_FILE = """
import os, resource, signal, sys
from pathlib import Path
from outputs.recording.encoder import Encoding
from outputs.recording.h264 import H264File
from outputs.recording.sound import ERRORS
from tests.recordings import shot
path, film = Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None
file = H264File(path, (160, 90), Encoding("ultrafast", 25, 25.0), 0.0, film)
for index in range(90):
    file.write(shot(index, 0.0)[0], index / 25, 0)
"""

KILLED_WITH_SOUND = ONE_FILE + "os.kill(os.getpid(), signal.SIGKILL)"

WITHOUT_ROOM_FOR_THE_INDEX = (
    ONE_FILE
    + """
limit = path.stat().st_size + 1000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    file.finish()
except ERRORS as error:
    print(error.strerror)
"""
)


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_where_the_index_cannot_be_written_the_pictures_can_still_be_played(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.mp4"
    done = run_child(WITHOUT_ROOM_FOR_THE_INDEX, path)
    assert done.stdout == "File too large\n", done.stderr
    assert "moof" in boxes(path)
    assert len(read(path)) >= 80


def test_what_a_killed_process_leaves_has_its_sound_in_time(tmp_path: Path) -> None:
    path, film = tmp_path / "out.mp4", write_clicks(tmp_path / "film.mp4", seconds=4)
    run_child(KILLED_WITH_SOUND, path, film)
    assert "moof" in boxes(path)
    assert len(read(path)) > 65
    assert flashes_and_clicks(path)[1] == pytest.approx([1.0, 2.0, 3.0], abs=0.005)
