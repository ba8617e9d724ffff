import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from archive.results import load_results, save_results, without_image
from errors import SinkError
from structures import (
    Estimates,
    Frame,
    FrameResult,
    Gender,
    Smoothed,
    Track,
    TrackEstimates,
    TrackState,
)
from tests.archives import make_film, run_batch, visible


def result_of(index: int, ethnicity: bool) -> FrameResult:
    random = np.random.default_rng(index)
    boxes = random.normal(100, 50, (3, 4)).astype(np.float32)
    shares = random.dirichlet(np.ones(5), 2).astype(np.float32) if ethnicity else None
    years, spread, female = random.normal(30, 9, (3, 2)).astype(np.float32)
    made = TrackEstimates((3, 7), Estimates(years, spread, female, shares), years)
    first = None if shares is None else shares[0]
    person = Smoothed(31.1, 4.0, 1 / 3, Gender.FEMALE, 5, True, first)
    tracks = (
        Track(3, boxes[0], TrackState.CONFIRMED, 0, 1, 9),
        Track(7, boxes[1], TrackState.CONFIRMED, 2, None, 8),
    )
    frame = Frame(np.zeros((4, 6, 3), np.uint8), index, index / 29.97, 1)
    lost = frozenset({1, 9})
    return FrameResult(frame, tracks, {7: person}, places=boxes, estimates=made, remembered=lost)


def same(one: object, other: object) -> bool:
    """Whether two values of `structures` are equal, array by array."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and (one == other).all()
    if isinstance(one, tuple):
        return isinstance(other, tuple) and all(map(same, one, other)) and len(one) == len(other)
    if isinstance(one, dict):
        return isinstance(other, dict) and same(tuple(one.items()), tuple(other.items()))
    if not hasattr(one, "__slots__"):
        return type(one) is type(other) and one == other
    return all(same(getattr(one, name), getattr(other, name)) for name in type(one).__slots__)


@pytest.mark.parametrize("ethnicity", [False, True])
def test_results_come_back_exactly_as_they_were(ethnicity: bool, tmp_path: Path) -> None:
    empty = FrameResult(Frame(np.zeros((4, 6, 3), np.uint8), 5, 0.2))
    kept = [without_image(each) for each in (*(result_of(i, ethnicity) for i in range(4)), empty)]
    save_results(tmp_path / "kept.jsonl", kept)
    loaded = load_results(tmp_path / "kept.jsonl")
    assert same(tuple(loaded), tuple(kept))
    assert {each.frame.size_wh for each in loaded} == {(6, 4)}


class Intruder:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._path),)


def test_what_somebody_puts_into_the_work_folder_is_never_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, out, trace = make_film(tmp_path / "film.mp4", 240), tmp_path / "out", tmp_path / "trace"
    command = [film, "--out", out, "--slice", "1", "--no-video"]
    assert run_batch(*command, ctrl_c_after=200) == 130
    (first, *_) = (out / ".batch" / "unfinished" / "film").glob("seen-*")
    poison = pickle.dumps(Intruder(trace))
    for suffix in (".pickle", ".npy", ".jsonl"):
        first.with_stem("seen-00001").with_suffix(suffix).write_bytes(poison)
    assert run_batch(*command) == 1
    assert "damaged" in capsys.readouterr().out
    assert not trace.exists()
    first.with_stem("seen-00001").unlink()
    assert run_batch(*command) == 0
    assert not trace.exists()
    assert visible(out) == ["film.csv", "film.jsonl"]


@pytest.mark.parametrize("content", [b"{}\n", b"[1, 2]\n", b"\xff\n", b'{"frame": 1}\n'])
def test_a_damaged_file_is_reported_by_its_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "seen.jsonl").write_bytes(content)
    with pytest.raises(SinkError, match=r"seen\.jsonl is damaged"):
        load_results(tmp_path / "seen.jsonl")
