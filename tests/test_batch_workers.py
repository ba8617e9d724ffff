import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from archive.jobs import JobContext, Outcome
from archive.workers import LocalWorkers
from tests.archives import records_of, visible
from tracking.boxes import iou_matrix

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "samples" / "sample.mp4"


def die(context: JobContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def answer(context: JobContext, number: int) -> int:
    context.progress.count(number)
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
def test_ctrl_c_stops_real_workers_and_the_next_run_resumes(tmp_path: Path) -> None:
    films, out = sample_copies(tmp_path / "films", 3), tmp_path / "out"
    command = [
        sys.executable,
        "batch.py",
        str(films),
        "--out",
        str(out),
        "--workers",
        "2",
        "--slice",
        "5",
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(out.glob(".batch/unfinished/*/seen-*")) and time.monotonic() < deadline:
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
    one, other = records_of(whole / "sample.jsonl"), records_of(folder / "sample.jsonl")
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
def whole_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    command = [sys.executable, "batch.py", str(SAMPLE), "--out", str(folder), "--slice", "0"]
    subprocess.run([*command, "--workers", "1"], cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_the_sample_in_slices_equals_the_whole_sample(whole_sample: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "batch", str(SAMPLE), "--out", str(tmp_path), "--slice", "5"]
    subprocess.run([*command, "--workers", "2"], cwd=ROOT, check=True, capture_output=True)
    check_sample(tmp_path, whole_sample)


@pytest.mark.slow
def test_ray_gives_what_local_workers_give(whole_sample: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install '.[ray]'")
    command = [sys.executable, "batch.py", str(SAMPLE), "--out", str(tmp_path), "--slice", "5"]
    done = subprocess.run(
        [*command, "--ray", "local", "--workers", "2"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "450 frames" in done.stdout
    check_sample(tmp_path, whole_sample)
