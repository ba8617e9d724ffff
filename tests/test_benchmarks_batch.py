from pathlib import Path

import pytest

from benchmarks import batch


def test_efficiency_is_the_gain_over_one_worker_for_each_of_them() -> None:
    rows = batch.scaling_table({1: [90.0, 100.0, 110.0], 2: [180.0], 4: [200.0]}).splitlines()[2:]
    assert rows == ["| 1 | 100 (90-110) | 100 % |", "| 2 | 180 (180-180) | 90 % |", rows[2]]
    assert rows[2].endswith("| 50 % |")


def test_a_clip_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch.main([str(tmp_path / "nowhere.mp4"), "--out", str(tmp_path)]) == 2
    assert "nowhere.mp4: no such clip" in capsys.readouterr().err


@pytest.mark.slow
def test_films_are_annotated_with_every_number_of_workers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--copies", "1", "--repeat", "1", "--workers", "1", "--out", str(tmp_path)]
    assert batch.main([*arguments, "--no-video"]) == 0
    assert "| 1 |" in capsys.readouterr().out
    assert (tmp_path / "batch.png").stat().st_size > 0
